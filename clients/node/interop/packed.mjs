/** The package as npm would publish it, and projects that have it installed. */
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const run = promisify(execFile);
export const PACKAGE = fileURLToPath(new URL("..", import.meta.url));

/** A new folder that goes with the test. */
export async function folder(t) {
  const path = await mkdtemp(join(tmpdir(), "hera-packed-"));
  t.after(() => rm(path, { recursive: true, force: true }));
  return path;
}

/** Packs what was built, and gives the tarball's path and its list of files. */
export async function pack(into) {
  // Without its scripts, since it is built already and others may read what was built.
  const args = ["pack", "--ignore-scripts", "--json", "--loglevel=error", "--pack-destination", into];
  const { stdout } = await run("npm", args, { cwd: PACKAGE });
  const [{ filename, files }] = JSON.parse(stdout);
  return { tarball: join(into, filename), files: files.map(({ path }) => path).sort() };
}

/** Installs the packed package into a project that has nothing else but `links`: packages, by name, and the folders they are in. */
export async function install(project, tarball, manifest, links = {}) {
  await writeFiles(project, { "package.json": JSON.stringify({ name: "project", private: true, ...manifest }) });
  const args = ["install", "--no-audit", "--no-fund", "--prefer-offline", "--loglevel=error", tarball];
  await run("npm", args, { cwd: project });
  for (const [name, modules] of Object.entries(links)) {
    const at = join(project, "node_modules", name);
    await mkdir(dirname(at), { recursive: true });
    await symlink(join(modules, name), at);
  }
}

/** Writes files by their path in the project. */
export async function writeFiles(project, files) {
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(project, path)), { recursive: true });
    await writeFile(join(project, path), text);
  }
}

/** Runs Node in a project; gives what it wrote.
 *  @throws Error with `stdout` and `stderr` where it fails */
export async function node(project, ...args) {
  return (await run(process.execPath, args, { cwd: project })).stdout;
}

/** Compiles a project by its tsconfig.json with the compiler of this package.
 *  @throws Error whose message holds what the compiler found */
export async function compile(project, ...args) {
  const compiler = join(PACKAGE, "node_modules/typescript/bin/tsc");
  try {
    await run(process.execPath, [compiler, "-p", project, ...args], { cwd: project });
  } catch (error) {
    throw new Error(error.stdout || error.message);
  }
}
