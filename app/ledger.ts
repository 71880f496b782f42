import type { Logger } from "../core/environment.ts";
import { ledgerOf } from "../core/ingestion/ledger.ts";
import type { IngestionLog } from "../core/ingestion/log.ts";

export interface LedgerOptions {
  readonly log: Pick<IngestionLog, "lanes" | "bounds">;
  readonly metrics: { ledger(imbalance: number): void };
  readonly logger: Logger;
}

/** Reports what all lanes' accounts are off by; to be called before each scrape. A log that can't be read keeps no scrape from going on. */
export async function measureLedger({ log, metrics, logger }: LedgerOptions): Promise<void> {
  try {
    const ledger = await ledgerOf({ reader: log, lanes: log });
    metrics.ledger(ledger.reduce((sum, { imbalance }) => sum + Math.abs(imbalance), 0));
    for (const { lane, imbalance } of ledger) {
      if (imbalance !== 0) logger.error({ lane, imbalance }, "the ledger of a lane does not balance");
    }
  } catch (error) {
    logger.warn({ error }, "the ledger could not be read");
  }
}
