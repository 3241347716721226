/** What the types of hera-client say to who uses it. Nothing runs: the compiler is the test. */
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from "node:http";
import { Readable, pipeline as runPipeline, Transform } from "node:stream";
import { text as textOf } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";
import hera, {
  type App,
  type Caller,
  type CallOptions,
  type CallStub,
  type CookieOptions,
  type EndpointOptions,
  type ErrorHandler,
  type Fields,
  type Handler,
  HeraError,
  type hera as heraByName,
  type InjectedReply,
  type InjectOptions,
  json,
  type Log,
  type Next,
  type Options,
  type Params,
  type QueryValue,
  type RemoteReply,
  type Request,
  type Response,
  type RouteParams,
  Router,
  type RouterOptions,
  raw,
  type StubbedCall,
  type StubReply,
  text,
  urlencoded,
} from "hera-client";

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
declare function check<_T extends true>(): void;

const app = hera({ brokers: "hera://127.0.0.1:4372", secret: "key", signals: false, log: false, drainTimeout: 1 });

// ---- the app

check<Equal<typeof app, App>>();
check<Equal<typeof hera, typeof heraByName>>();
check<Equal<Parameters<typeof hera>, [options?: Options | undefined]>>();
check<Equal<ReturnType<App["connect"]>, Promise<void>>>();
check<Equal<ReturnType<App["close"]>, Promise<void>>>();
check<Equal<App["brokers"], string[]>>();
check<Equal<App["inFlight"], number>>();
check<Equal<App["locals"], Record<string, unknown>>>();
hera();
hera({ zk: "hera://a:1", secret: undefined, ca: [Buffer.alloc(0)], log: console });
app.connect(() => {});
const log: Log = { warn: (_message: string, _error?: unknown) => {}, error() {} };
hera({ log });
// @ts-expect-error: no such option
hera({ broker: "hera://a:1" });
// @ts-expect-error: a number is no list of brokers
hera({ brokers: 1 });
// @ts-expect-error: how many callers there are is not the app's to say
app.inFlight = 2;
// @ts-expect-error: there is no port
app.listen(3000);

// ---- settings

check<Equal<ReturnType<App["enabled"]>, boolean>>();
const setting: unknown = app.get("env");
app
  .set("json spaces", 2)
  .enable("strict routing")
  .disable("etag")
  .get("/chained", () => setting);

// ---- parameters, out of the path's text

check<Equal<keyof RouteParams<"/users">, never>>();
check<Equal<RouteParams<"/users/:id">, { id: string }>>();
check<Equal<RouteParams<"/users/:id/:part">, { id: string; part: string }>>();
check<Equal<RouteParams<"/users/:id{/:part}/*rest">, { id: string; part?: string; rest: string[] }>>();
check<Equal<RouteParams<"/files/*path">, { path: string[] }>>();
check<Equal<RouteParams<"{/:language}/pages">, { language?: string }>>();
check<Equal<RouteParams<string>, Params>>();
check<Equal<Params[string], string | string[] | undefined>>();

app.get("/users/:id{/:part}/*rest", (req, res) => {
  check<Equal<typeof req.params.id, string>>();
  check<Equal<typeof req.params.part, string | undefined>>();
  check<Equal<typeof req.params.rest, string[]>>();
  // @ts-expect-error: the path names no such parameter
  req.params.name;
  res.json(req.params);
});
app.get("/list", { timeout: 100 }, (req, res) => {
  // @ts-expect-error: the path names no parameter at all
  res.send(req.params.id);
});
app.put("/users/:id", { idempotent: true, bodyLimit: 10, concurrency: 2, headers: ["x-a"], stream: false }, (req) => {
  check<Equal<typeof req.params, { id: string }>>();
});
// Of several paths, or one that is only known when it runs, the names are not known.
app.get(["/a/:id", "/b/:id"], (req) => check<Equal<typeof req.params, Params>>());
declare const later: string;
app.get(later, (req) => check<Equal<typeof req.params, Params>>());

// ---- handlers: plain, async, several, lists, errors

app.get("/a", (req, res, next) => {
  check<Equal<typeof next, Next>>();
  check<Equal<typeof res, Response>>();
  check<Equal<typeof req.app, App>>();
  next();
  next("route");
  next(new Error("broken"));
});
app.get("/b", async (_req, res) => {
  await Promise.resolve();
  res.json({});
});
app.post(
  "/c/:id",
  (_req, _res, next) => next(),
  async (req, res) => res.json(req.params.id),
);
const guard: Handler = (req, res, next) => (req.get("x-a") ? next() : res.sendStatus(401));
const guards: Handler[] = [guard, guard];
app.get("/d/:id", guard, guards, (_req, res) => res.end());
app.delete("/e", [guard, [guard][0] as Handler]);
const failed: ErrorHandler = (error, req, res, next) => {
  check<Equal<typeof error, unknown>>();
  check<Equal<typeof req, Request>>();
  if (error instanceof HeraError) res.status(error.status ?? 500).json({ code: error.code });
  else next(error);
};
app.use(failed);
app.use("/f", failed);
app.get("/g", guard, failed);
app.use((error: Error, _req: Request, res: Response, _next: Next) => res.send(error.message));
app.use((_req, res, next) => {
  res.locals.user = "ann";
  next();
});
app.use("/shops/:shop", (req, _res, next) => {
  check<Equal<typeof req.params.shop, string>>();
  next();
});
// As with Express, an error handler that is written in place names its types.
app.get("/g/:id", guard, (error: Error, _req: Request, res: Response, _next: Next) => res.send(error.message));
app.all("/h", (_req, res) => res.end());
app.propfind("/h", (_req, res) => res.end());
// @ts-expect-error: a text is no handler
app.get("/i", "handler");
// @ts-expect-error: no such option
app.get("/i", { timeOut: 1 }, guard);
// @ts-expect-error: a time is a number
app.get("/i", { timeout: "1s" }, guard);
// @ts-expect-error: CONNECT means nothing here
app.connect("/i", guard);
const options: EndpointOptions = { stream: true };
app.post("/j", options, async (req, res) => {
  check<Equal<typeof req extends Readable ? true : false, true>>();
  for await (const piece of req) res.write(piece);
  res.end();
});

// ---- routers, routes, param

const router = Router({ mergeParams: true, caseSensitive: true, strict: true });
const routerOptions: RouterOptions = { mergeParams: true };
hera.Router(routerOptions);
router.use(guard).get("/:id", (req, res) => res.json(req.params.id));
check<Equal<ReturnType<typeof router.post>, Router>>();
app.use(router).use("/users", router).use("/more", guard, router, [router]);
app.use(["/a", "/b"], router);
// @ts-expect-error: no such option
Router({ mergeparams: true });
app
  .route("/books/:book{/:page}")
  .all((req, _res, next) => {
    check<Equal<typeof req.params, { book: string; page?: string }>>();
    next();
  })
  .get({ timeout: 10 }, (req, res) => res.json(req.params.page ?? null))
  .post(guard, async (req, res) => res.status(201).json(req.params.book));
app
  .route("/books")
  // @ts-expect-error: the path names no such parameter
  .get((req) => req.params.book);
app.param("id", (req, _res, next, value, name) => {
  check<Equal<typeof value, string>>();
  check<Equal<typeof name, string>>();
  check<Equal<typeof req, Request>>();
  next();
});
router.param(["a", "b"], (_req, _res, next) => next());
// @ts-expect-error: a name is a text
app.param(1, () => {});

// ---- the request

app.post("/request", (req) => {
  check<Equal<typeof req.body, unknown>>();
  check<Equal<typeof req.query, Fields>>();
  check<Equal<typeof req.data, Record<string, unknown>>>();
  check<Equal<typeof req.rawBody, Buffer | undefined>>();
  check<Equal<typeof req.caller, Caller>>();
  check<Equal<typeof req.headers, IncomingHttpHeaders>>();
  check<Equal<typeof req.signal, AbortSignal>>();
  check<Equal<typeof req.deadline, Date>>();
  check<Equal<typeof req.ip, string>>();
  check<Equal<typeof req.ips, string[]>>();
  check<Equal<typeof req.id, string>>();
  check<Equal<typeof req.originalUrl, string>>();
  check<Equal<typeof req.hostname, string | undefined>>();
  check<Equal<typeof req.subdomains, string[]>>();
  check<Equal<ReturnType<typeof req.is>, string | false | null>>();
  const type: string | undefined = req.get("content-type");
  const cookies: string[] | undefined = req.get("set-cookie");
  const best: string | false = req.accepts("json", ["html"]);
  const all: string[] = req.accepts();
  const ranges = req.range(10, { combine: true });
  if (ranges !== undefined && ranges !== -1 && ranges !== -2) check<Equal<typeof ranges.type, string>>();
  // @ts-expect-error: a body may be anything, so its shape is to be looked at first
  req.body.name;
  // @ts-expect-error: the query is read only as a whole
  req.query = {};
  // @ts-expect-error: no such property
  req.nope;
  return [type, cookies, best, all];
});

// ---- the response

app.get("/response", (req, res) => {
  res
    .status(200)
    .set("X-A", "1")
    .set({ "X-B": 2, "X-C": ["3"] })
    .append("X-A", "4")
    .type("json")
    .vary("Accept");
  const cookie: CookieOptions = { maxAge: 1, httpOnly: true, sameSite: "lax", signed: true, partitioned: true };
  res.cookie("a", { b: 1 }, cookie).clearCookie("a").links({ next: "/2" }).location("/2").attachment("a.txt");
  res.format({
    json: () => res.json({}),
    "text/html": (_req, inner) => inner.send("x"),
    default: (_req, _res, next) => next(),
  });
  res.redirect("/x");
  res.redirect(301, "/x");
  res.sendFile("a.txt", { root: "/srv", maxAge: "1d" }, (error) => error && req.next?.(error));
  res.download("/srv/a.txt", "b.txt");
  res.writeHead(200, { "x-a": "1" }).write("x", () => {});
  const more: boolean = res.write(Buffer.alloc(1), "utf8");
  res.setHeader("x-a", ["1", "2"]).removeHeader("x-a").flushHeaders();
  res.on("close", () => {}).once("finish", () => {});
  check<Equal<typeof res.headersSent, boolean>>();
  check<Equal<typeof res.locals, Record<string, unknown>>>();
  // @ts-expect-error: no such method
  res.nope();
  // @ts-expect-error: a status is a number
  res.status("200");
  // @ts-expect-error: the status goes first
  res.redirect("/x", 301);
  // @ts-expect-error: templates are not Hera's business
  res.render("page");
  // @ts-expect-error: no such policy
  res.cookie("a", "b", { sameSite: "some" });
  return more;
});

// ---- both are streams to Node's own functions

app.post("/streams", { stream: true }, async (req, res) => {
  const upper = new Transform();
  Readable.from(["x"]).pipe(res);
  req
    .pipe(upper)
    .pipe(res)
    .on("finish", () => {});
  runPipeline(req, upper, res, (error) => error);
  await pipeline(req, upper, res);
  await pipeline(
    req,
    async function* (source) {
      for await (const piece of source) yield String(piece);
    },
    res,
  );
  return textOf(req);
});

// ---- body parsers

app.use(json(), urlencoded({ extended: true }), text({ type: ["text/*"] }), raw({ limit: "1mb" }));
app.use(hera.json({ type: (req) => req.is("json") === "json" }), hera.urlencoded(), hera.text(), hera.raw());
// @ts-expect-error: no such option
json({ maximum: 1 });

// ---- inject

check<Equal<Parameters<App["inject"]>, [options: string | InjectOptions]>>();
check<Equal<ReturnType<App["inject"]>, Promise<InjectedReply>>>();
app.inject({
  method: "PUT",
  url: "/a",
  headers: { "x-a": ["1", "2"] },
  body: { a: 1 },
  caller: { token: "t", ip: "::1" },
});
app.inject("/a").then((reply) => {
  check<Equal<typeof reply.body, Buffer>>();
  check<Equal<ReturnType<typeof reply.json>, unknown>>();
  check<Equal<typeof reply.headers, Record<string, string | string[]>>>();
});
// @ts-expect-error: a call has a url
app.inject({ method: "GET" });
// @ts-expect-error: no such option
app.inject({ url: "/a", query: {} });

app.inject({
  url: "/a",
  calls: async (call) => {
    check<Equal<typeof call, StubbedCall>>();
    return { status: 404, headers: { "x-a": "1" }, body: { no: call.url } };
  },
});
const stub: CallStub = () => ({ body: "text" });
const stubReply: StubReply | Promise<StubReply> = stub({ method: "GET", url: "/a", headers: {}, body: undefined });
check<Equal<typeof stubReply, StubReply | Promise<StubReply>>>();

// ---- remote calls

interface User {
  name: string;
}
app.get("/orders/:id", async (req, res) => {
  const user = await req.call<User>("GET /0/users/42", {
    query: { a: 1, b: ["x", null], c: undefined },
    timeout: "2s",
  });
  check<Equal<typeof user, RemoteReply<User>>>();
  check<Equal<typeof user.body.name, string>>();
  check<Equal<typeof user.status, number>>();
  check<Equal<typeof user.ok, boolean>>();
  check<Equal<typeof user.headers, IncomingHttpHeaders>>();
  check<Equal<typeof user.worker, string>>();
  check<Equal<typeof user.attempts, number>>();
  const picture = await req.call("GET /0/picture", { stream: true, headers: req.headers, signal: req.signal });
  check<Equal<typeof picture.body, Readable>>();
  await req.call("POST /0/a", { body: req, headers: [["x-a", "1"]] });
  await pipeline(picture.body, res);
});
app.call("POST /0/a", { body: { a: 1 }, headers: new Headers(), query: new URLSearchParams(), bodyLimit: 10 }).then(
  ({ body }) => check<Equal<typeof body, unknown>>(),
  (error: HeraError) => check<Equal<typeof error.executed, "no" | "maybe" | undefined>>(),
);
const callOptions: CallOptions = { query: "a=1", timeout: 10, stream: undefined };
app.call("GET /0/a", callOptions);
const queryValue: QueryValue = new Date();
app.call("GET /0/a", { query: { queryValue } });
// @ts-expect-error: no such option
app.call("GET /0/a", { retries: 1 });
// @ts-expect-error: a query has no nested values
app.call("GET /0/a", { query: { a: { b: 1 } } });
// @ts-expect-error: an endpoint is a text
app.call({ method: "GET", url: "/0/a" });

// ---- errors

function why(error: HeraError): string {
  // A broker that is newer than this library may give codes that it does not know.
  check<Equal<typeof error.code, string>>();
  check<Equal<typeof error.status, number | undefined>>();
  if (error.code !== "declaration_refused") return error.message;
  return error.endpoints.map(({ endpoint, code, message }) => `${endpoint} ${code} ${message}`).join();
}
why(new HeraError("bad_option", "text", { cause: 1, status: 400 }));
// @ts-expect-error: a code is a text
new HeraError(1, "text");
// @ts-expect-error: no such option
new HeraError("bad_option", "text", { reason: "text" });

// ---- middleware made for Node's http and for connect, with their own types

type NodeMiddleware = (req: IncomingMessage, res: ServerResponse, next: (error?: unknown) => void) => void;
declare const forNode: NodeMiddleware;
declare function forConnect(
  req: IncomingMessage & { body?: string },
  res: ServerResponse,
  next: () => void,
): Promise<void>;
declare function errorsOfConnect(error: Error, req: IncomingMessage, res: ServerResponse, next: () => void): void;
app.use(forNode).use(forConnect, errorsOfConnect).use("/a", forNode);
app.get("/a", forNode, (_req, res) => res.end());
app.get("/a/:id", guard, [forNode], (req, res) => {
  check<Equal<typeof req.params.id, string>>();
  res.end();
});
// A handler that is written in place has its types behind any middleware, and before more of its kind.
app.get("/b/:id", { timeout: 1 }, forNode, [guard, forConnect], (req, _res, next) => {
  check<Equal<typeof req.params.id, string>>();
  next();
});
app.get(
  "/c/:id",
  forNode,
  (req, _res, next) => {
    check<Equal<typeof req.params.id, string>>();
    next();
  },
  async (req, res) => res.json(req.params.id),
);
app.use(forNode, (req, _res, next) => {
  check<Equal<typeof req, Request>>();
  next();
});
app.use("/shops/:shop", [forNode], guard, (req, _res, next) => {
  check<Equal<typeof req.params.shop, string>>();
  next();
});
app.route("/a/:id").get(forNode, guard);
app
  .route("/b/:id")
  .get(forNode, (req, res) => res.json(req.params.id))
  .put({ timeout: 1 }, guard, [forNode], (req, res) => res.json(req.params.id));
router.use(forNode).post("/a", forConnect);
// @ts-expect-error: Hera calls it with a request, a response and next
app.use((_a: number, _b: string, _c: boolean, _d: null, _e: undefined) => {});

declare global {
  namespace Express {
    interface Request {
      tenant?: string;
    }
    interface Response {
      timing?: number;
    }
  }
}
// What packages add to Express's request and response is there on ours.
app.use((req, res, next) => {
  check<Equal<typeof req.tenant, string | undefined>>();
  check<Equal<typeof res.timing, number | undefined>>();
  next();
});
