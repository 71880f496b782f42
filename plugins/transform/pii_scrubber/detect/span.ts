/** Characters of a text from `start` up to `end`. */
export interface Span {
  readonly start: number;
  readonly end: number;
}
