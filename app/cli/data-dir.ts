/** Where `pulsegate dev` keeps its data, and where the other commands look for it. */
export const DATA_DIR_DEFAULT = ".pulsegate";
