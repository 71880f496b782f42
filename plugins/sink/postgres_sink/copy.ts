import type { Connection, PoolClient, Submittable } from "pg";
import { COPY_COLUMNS } from "./copy-rows.ts";
import { quoteTable } from "./table.ts";

/** Takes the rows of `CopyRows`; unlike the insert it fails on a duplicate. */
export function copyStatement(table: string): string {
  return `COPY ${quoteTable(table)} (${COPY_COLUMNS.join(", ")}) FROM STDIN (FORMAT binary)`;
}

/**
 * Runs a COPY … FROM STDIN; `messages` are its CopyData and CopyDone, and must stay as they are until
 * this resolves, with the number of rows, or rejects with the server's error or the connection's.
 */
export function copyInto(client: PoolClient, statement: string, messages: Uint8Array): Promise<number> {
  return new Promise((resolve, reject) => {
    client.query(new CopyIn({ statement, messages, resolve, reject }));
  });
}

interface CopyOptions {
  readonly statement: string;
  readonly messages: Uint8Array;
  readonly resolve: (rows: number) => void;
  readonly reject: (error: Error) => void;
}

/** What a client calls of the query that is under way. */
class CopyIn implements Submittable {
  readonly #options: CopyOptions;
  #rows = 0;

  constructor(options: CopyOptions) {
    this.#options = options;
  }

  submit(connection: Connection): void {
    const { stream } = connection;
    // In one write, before the server says that it is ready: when it refuses the statement, it passes over
    // what follows (PostgreSQL's documentation, 54.2.6).
    stream.cork();
    connection.query(this.#options.statement);
    stream.write(this.#options.messages);
    stream.uncork();
  }

  handleCopyInResponse(): void {}

  handleCommandComplete({ text }: { readonly text: string }): void {
    this.#rows = Number(text.slice("COPY ".length));
  }

  handleReadyForQuery(): void {
    this.#options.resolve(this.#rows);
  }

  handleError(error: Error): void {
    this.#options.reject(error);
  }
}
