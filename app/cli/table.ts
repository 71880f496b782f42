export interface TableOptions {
  readonly columns: readonly string[];
  readonly rows: ReadonlyArray<readonly string[]>;
  /** Characters per line at most; infinite where nobody's screen has to hold it. */
  readonly width: number;
}

/** What somebody copies into the next command stays in one piece. */
const WHOLE_COLUMNS = /^(id|.+_id|at|.+_at|lane|job|fingerprint|position|tenant|sink)$/;

/** Narrower columns tell nothing: below that the records are printed one under the other. */
const COLUMN_WIDTH_MIN = 12;
/** Two spaces between columns. */
const GAP = 2;

/** A cell that needs more lines ends in …. */
const CELL_LINES_MAX = 4;

/** Columns where they fit the width (long cells are wrapped), else one record under the other. */
export function renderTable({ columns, rows, width }: TableOptions): string {
  const safe = rows.map((row) => row.map(withoutControls));
  const natural = columns.map((column, i) => Math.max(column.length, ...safe.map((row) => (row[i] ?? "").length)));
  const whole = columns.map((column) => WHOLE_COLUMNS.test(column));
  const widths = fitted({ natural, whole, available: width - GAP * (columns.length - 1) });
  return widths === undefined
    ? renderRecords({ columns, rows: safe, width })
    : renderColumns({ columns, rows: safe, widths });
}

interface Fit {
  readonly natural: readonly number[];
  readonly whole: readonly boolean[];
  readonly available: number;
}

/** Takes from the widest columns that may be wrapped until all fit; undefined when that would leave one unreadable. */
function fitted({ natural, whole, available }: Fit): number[] | undefined {
  const widths = [...natural];
  const wrappable = () => widths.map((width, at) => (whole[at] === true ? 0 : width));
  let excess = widths.reduce((sum, one) => sum + one, 0) - available;
  while (excess > 0) {
    const candidates = wrappable();
    const width = Math.max(...candidates);
    if (width <= COLUMN_WIDTH_MIN) return undefined;
    const next = Math.max(COLUMN_WIDTH_MIN, ...candidates.filter((other) => other < width));
    const cut = Math.min(excess, width - next);
    widths[candidates.indexOf(width)] = width - cut;
    excess -= cut;
  }
  return widths;
}

interface ColumnsOptions {
  readonly columns: readonly string[];
  readonly rows: ReadonlyArray<readonly string[]>;
  readonly widths: readonly number[];
}

function renderColumns({ columns, rows, widths }: ColumnsOptions): string {
  const rule = widths.map((width) => "-".repeat(width));
  const lines = [columns, rule, ...rows].flatMap((row) => {
    const cells = widths.map((width, i) => wrapped(row[i] ?? "", width));
    const height = Math.max(...cells.map((cell) => cell.length));
    return Array.from({ length: height }, (_, at) => cells.map((cell) => cell[at] ?? ""));
  });
  const gap = " ".repeat(GAP);
  return lines
    .map((line) =>
      line
        .map((text, i) => text.padEnd(widths[i] ?? 0))
        .join(gap)
        .trimEnd(),
    )
    .join("\n");
}

/** The lines of a cell, broken between words where that is possible. */
function wrapped(text: string, width: number): string[] {
  const lines: string[] = [];
  let rest = text;
  while (rest.length > width && lines.length < CELL_LINES_MAX) {
    const space = rest.lastIndexOf(" ", width);
    const at = space > 0 ? space : width;
    lines.push(rest.slice(0, at));
    rest = rest.slice(at).trimStart();
  }
  if (lines.length < CELL_LINES_MAX) return [...lines, rest];
  return [...lines.slice(0, -1), `${(lines.at(-1) ?? "").slice(0, width - 1)}…`];
}

function renderRecords({ columns, rows, width }: TableOptions): string {
  const label = Math.max(...columns.map((column) => column.length)) + GAP;
  return rows
    .map((row, i) => {
      const fields = columns.flatMap((column, at) =>
        between(row[at] ?? "", width - label).map((line, n) =>
          `${(n === 0 ? column : "").padEnd(label)}${line}`.trimEnd(),
        ),
      );
      const head = `-[ ${i + 1} ]${"-".repeat(Math.max(0, label - GAP - 4 - String(i + 1).length))}`;
      return [head, ...fields].join("\n");
    })
    .join("\n");
}

/** Lines broken between words, and nowhere else: in a record nothing is cut. */
function between(text: string, width: number): string[] {
  const lines: string[] = [];
  let rest = text;
  while (rest.length > width) {
    const before = rest.lastIndexOf(" ", width);
    const at = before > 0 ? before : rest.indexOf(" ", width);
    if (at === -1) break;
    lines.push(rest.slice(0, at));
    rest = rest.slice(at + 1);
  }
  return [...lines, rest];
}

/** Data must not speak to the terminal: control characters are shown, not sent. */
export function withoutControls(text: string): string {
  // eslint-disable-next-line no-control-regex -- finding them is the point
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g, (one) => {
    if (one === "\n") return "\\n";
    return `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
}
