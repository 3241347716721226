/** What is used of packages that bring no types of their own. */
declare module "accepts" {
  interface Accepts {
    types(list: string[]): string | string[] | false;
    encodings(list: string[]): string | string[] | false;
    charsets(list: string[]): string | string[] | false;
    languages(list: string[]): string | string[] | false;
  }
  export default function accepts(req: { headers: object }): Accepts;
}
declare module "cookie" {
  export function serialize(name: string, value: string, options: object): string;
}
declare module "cookie-signature" {
  export function sign(value: string, secret: string): string;
}
declare module "encodeurl" {
  export default function encodeUrl(url: string): string;
}
declare module "escape-html" {
  export default function escapeHtml(text: string): string;
}
declare module "fresh" {
  export default function fresh(request: object, response: { etag?: unknown; "last-modified"?: unknown }): boolean;
}
declare module "mime-types" {
  export function contentType(type: string): string | false;
  export function lookup(extension: string): string | false;
}
declare module "range-parser" {
  interface Range {
    start: number;
    end: number;
  }
  type Ranges = Range[] & { type: string };
  export default function parseRange(size: number, header: string, options?: { combine?: boolean }): Ranges | -1 | -2;
}
declare module "send" {
  export default function send(
    req: object,
    path: string,
    options: object,
  ): NodeJS.EventEmitter & { pipe(res: object): void };
}
declare module "type-is" {
  export default function typeis(req: object, types: string[]): string | false | null;
  export function is(value: string, types: string[]): string | false;
  export function hasBody(req: object): boolean;
}
declare module "vary" {
  export default function vary(res: object, field: string | string[]): void;
}
