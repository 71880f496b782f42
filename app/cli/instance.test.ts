import { expect, test } from "vitest";
import { problemFailure } from "./instance.ts";

test("a problem with the whole body is told without an empty place", () => {
  const problem = { title: "The event is not valid", errors: [{ pointer: "", detail: "it must be an object" }] };
  const failure = problemFailure(new Response(null, { status: 422 }), JSON.stringify(problem));
  expect([failure.message, failure.why]).toEqual(["422 The event is not valid", "it must be an object"]);
});

test("a problem with members names each place", () => {
  const errors = [
    { pointer: "/a", detail: "is wrong" },
    { pointer: "/b", detail: "is missing" },
  ];
  const failure = problemFailure(new Response(null, { status: 422 }), JSON.stringify({ title: "No", errors }));
  expect(failure.why).toBe("/a: is wrong; /b: is missing");
});
