/** The reference for batches: events per second of a loop that only parses the lines of an NDJSON body. */
import { ndjson } from "./lib/events.ts";

const [lines, lineBytes, seconds] = process.argv.slice(2).map(Number) as [number, number, number];
const body = Buffer.from(ndjson(lines, lineBytes));
let parsed = 0;

function parseAll(): void {
  let from = 0;
  for (let to = body.indexOf(10); to !== -1; to = body.indexOf(10, from)) {
    JSON.parse(body.toString("utf8", from, to));
    parsed++;
    from = to + 1;
  }
}

const started = performance.now();
while (performance.now() - started < seconds * 1000) parseAll();
console.log(parsed / ((performance.now() - started) / 1000));
