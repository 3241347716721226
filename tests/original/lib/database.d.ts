interface Metric {
  id: number;
  name: string;
  value: number;
}

declare const database: {
  /** Gives one row, or null where there is none. */
  find(wanted: { id: unknown }, done: (error: Error | null, row?: Metric | null) => void): void;
};
export = database;
