/** For `node --import`: from here on, plugins find what they import from PulseGate. */
import { registerPluginHooks } from "./hooks.ts";

registerPluginHooks();
