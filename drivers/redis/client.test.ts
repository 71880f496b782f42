import { ReplyError } from "ioredis";
import { describe, expect, it } from "vitest";
import { errorOf } from "./client.ts";

const answered = (text: string) => new ReplyError(text);

describe("an error of Redis", () => {
  it.each([
    "CLUSTERDOWN Hash slot not served",
    "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
    "NOPERM User pulsegate has no permissions to run the 'xadd' command",
    "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
  ])("is told in Redis' own words: %s", (said) => {
    expect(errorOf(answered(said))).toMatchObject({
      code: "log_unavailable",
      message: `Redis answered "${said}"; the outcome is unknown. Try again.`,
    });
  });

  it("is told by its code alone where Redis quotes what it was sent", () => {
    const said = "ERR unknown command 'EVALSHA', with args beginning with: 'secret' ";
    expect(errorOf(answered(said)).message).toBe('Redis answered "ERR"; the outcome is unknown. Try again.');
  });

  it("is told too when the client of a cluster was given it again and again", () => {
    const error = new Error("Too many Cluster redirections. Last error: ReplyError: CLUSTERDOWN The cluster is down");
    expect(errorOf(error).message).toContain('Redis answered "CLUSTERDOWN The cluster is down"');
  });

  it("is no answer where none came", () => {
    expect(errorOf(new Error("Connection is closed.")).message).toMatch(/^Redis did not answer/);
  });
});
