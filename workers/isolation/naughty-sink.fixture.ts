export { naughtySink as default } from "./naughty.fixture.ts";
