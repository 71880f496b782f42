import { MultipleErrors, NetworkError, ProtocolError, UserError } from "@platformatic/kafka";
import { describe, expect, test } from "vitest";
import { failureOf, Unanswered } from "./failure.ts";

/** As the client wraps it after its own second tries. */
const wrapped = (code: string) =>
  new MultipleErrors("produce failed 2 times.", [
    new NetworkError("Connection failed.", { cause: new MultipleErrors("response", [new ProtocolError(code)]) }),
  ]);

describe("what a broker says", () => {
  test.each([
    ["MESSAGE_TOO_LARGE", "record", false],
    ["RECORD_LIST_TOO_LARGE", "record", false],
    ["INVALID_RECORD", "record", false],
    ["INVALID_TIMESTAMP", "record", false],
    ["POLICY_VIOLATION", "record", false],
    ["UNSUPPORTED_COMPRESSION_TYPE", "permanent", false],
    ["UNKNOWN_TOPIC_OR_PARTITION", "retry", true],
    ["TOPIC_AUTHORIZATION_FAILED", "retry", true],
    ["SASL_AUTHENTICATION_FAILED", "retry", true],
    ["NOT_LEADER_OR_FOLLOWER", "retry", true],
    ["NOT_ENOUGH_REPLICAS", "retry", true],
    ["NOT_ENOUGH_REPLICAS_AFTER_APPEND", "retry", true],
    ["REQUEST_TIMED_OUT", "retry", true],
    ["THROTTLING_QUOTA_EXCEEDED", "retry", true],
    ["OUT_OF_ORDER_SEQUENCE_NUMBER", "retry", false],
    ["UNKNOWN_SERVER_ERROR", "retry", false],
  ])("%s is %s, unavailable: %s", (code, kind, unavailable) => {
    expect(failureOf(new ProtocolError(code))).toMatchObject({ kind, unavailable, code });
    expect(failureOf(wrapped(code))).toMatchObject({ kind, unavailable, code });
  });

  test("counts for more than what else went wrong", () => {
    const errors = [new NetworkError("Connection failed."), new ProtocolError("MESSAGE_TOO_LARGE")];
    expect(failureOf(new MultipleErrors("several", errors))).toMatchObject({ code: "MESSAGE_TOO_LARGE" });
  });
});

describe("without a word of a broker", () => {
  test("an errno on the way is an outage", () => {
    const cause = Object.assign(new Error("connect EHOSTUNREACH"), { code: "EHOSTUNREACH" });
    expect(failureOf(new NetworkError("Connection failed.", { cause }))).toMatchObject({
      unavailable: true,
      code: "EHOSTUNREACH",
      reason: "connect EHOSTUNREACH",
    });
    expect(failureOf(new NetworkError("Connection closed."))).toMatchObject({
      unavailable: true,
      code: "connection_lost",
    });
  });

  test("an answer that did not come is an outage, a topic that nobody knows as well", () => {
    expect(failureOf(new Unanswered("timeout", "no answer"))).toMatchObject({ unavailable: true, code: "timeout" });
    expect(failureOf(new UserError("Unknown topic."))).toMatchObject({
      unavailable: true,
      code: "UNKNOWN_TOPIC_OR_PARTITION",
    });
  });

  test("a fault of ours is not the brokers'", () => {
    expect(failureOf(new TypeError("x is not a function"))).toMatchObject({ unavailable: false, code: "plugin_error" });
  });
});
