import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { renderTable, withoutControls } from "./table.ts";

describe("tables", () => {
  test("stand in columns where they fit", () => {
    const text = renderTable({
      columns: ["id", "note"],
      rows: [
        ["1", "short"],
        ["22", ""],
      ],
      width: 80,
    });
    expect(text).toBe("id  note\n--  -----\n1   short\n22");
  });

  test("wrap long cells between words", () => {
    const text = renderTable({ columns: ["id", "note"], rows: [["1", "a note of several words"]], width: 20 });
    expect(text).toBe("id  note\n--  ----------------\n1   a note of\n    several words");
  });

  test("keep ids in one piece, so that they can be copied", () => {
    const id = "a-tenant-with-a-long-name/0/raw/17";
    const row = [id, "a note of several words"];
    expect(renderTable({ columns: ["id", "note"], rows: [row], width: 50 })).toContain(`${id}  a note of\n`);
    expect(renderTable({ columns: ["id", "note"], rows: [row], width: 40 })).toContain(`id    ${id}\n`);
  });

  test("keep times in one piece", () => {
    const at = "2026-11-24T12:28:06.685Z";
    const text = renderTable({ columns: ["created_at", "note"], rows: [[at, "a note of words"]], width: 40 });
    expect(text).toContain(`${at}  a note of\n`);
  });

  test("hold one row per line where there is no screen to fit", () => {
    const text = renderTable({ columns: ["note"], rows: [["x y ".repeat(500)]], width: Number.POSITIVE_INFINITY });
    expect(text.split("\n")).toHaveLength(3);
  });

  test("end a cell that would take too many lines", () => {
    const text = renderTable({ columns: ["note"], rows: [["x".repeat(500)]], width: 20 });
    expect(text.split("\n")).toHaveLength(2 + 4);
    expect(text.endsWith("x…")).toBe(true);
  });

  test("become records where columns would be unreadable, with nothing cut", () => {
    const columns = Array.from({ length: 9 }, (_, i) => `column_${i}`);
    const row = columns.map((_, i) => String(i).repeat(30));
    const text = renderTable({ columns, rows: [row], width: 80 });
    for (const cell of row) expect(text).toContain(cell);
    expect(text.startsWith("-[ 1 ]--")).toBe(true);
  });

  test("break long values of records between words", () => {
    const columns = Array.from({ length: 9 }, (_, i) => `column_${i}`);
    const row = columns.map(() => "the quick brown fox jumps over the lazy dog and then over another one");
    const lines = renderTable({ columns, rows: [row], width: 40 }).split("\n");
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(40);
    expect(lines.join(" ").replace(/\s+/g, " ")).toContain(row[0]);
  });

  test("never send a control character to the terminal, and keep to the width in columns", () => {
    const cell = fc.string({ unit: "binary", maxLength: 60 });
    fc.assert(
      fc.property(fc.array(fc.tuple(cell, cell, cell), { minLength: 1, maxLength: 5 }), (rows) => {
        const text = renderTable({ columns: ["a", "b", "c"], rows, width: 60 });
        for (const line of text.split("\n")) {
          expect(withoutControls(line)).toBe(line);
          expect(line.length).toBeLessThanOrEqual(60);
        }
      }),
    );
  });
});
