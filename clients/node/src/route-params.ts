/** The parameters that a pattern names, as a type: `/users/:id{/:part}/*rest` gives `{ id: string; part?: string; rest: string[] }`. */
import type { Params } from "./pattern.js";

export type RouteParams<Path extends string> = string extends Path ? Params : Flat<WithGroups<Path>>;

type Flat<T> = { [K in keyof T]: T[K] };

/** Optional groups first, since one may hold a slash. */
type WithGroups<Path extends string> = Path extends `${infer Before}{${infer Inside}}${infer After}`
  ? Segments<Before> & Partial<Segments<Inside>> & WithGroups<After>
  : Segments<Path>;

type Segments<Path extends string> = Path extends `${infer Segment}/${infer Rest}`
  ? InSegment<Segment> & Segments<Rest>
  : InSegment<Path>;

type InSegment<Segment extends string> = Segment extends `${infer Before}:${infer After}`
  ? InSegment<Before> & { [K in Name<After>]: string } & InSegment<AfterName<After>>
  : Segment extends `${string}*${infer After}`
    ? { [K in Name<After>]: string[] }
    : unknown;

type Mark = "-" | "." | ":" | "*" | "~" | "!" | "@" | "," | ";" | "=" | "&" | "+" | "(" | ")" | "\\";

/** The name at the front of a text: up to the first character that no name holds. */
type Name<Text extends string> = Text extends `${infer First}${infer Rest}`
  ? First extends Mark
    ? ""
    : `${First}${Name<Rest>}`
  : "";

type AfterName<Text extends string> = Text extends `${Name<Text>}${infer Rest}` ? Rest : "";
