// The SDK's modules, each behind those that it imports. They are loaded one after the other: the runner's
// server gets stuck when a browser asks it for many things at once.
const MODULES = [
  "error",
  "call",
  "shell",
  "ink",
  "messages",
  "meta",
  "options",
  "dom",
  "bar",
  "connection",
  "here",
  "anchor",
  "style",
  "float",
  "names",
  "disclose",
  "touch",
];

// Runs a test by name. Its own modules are loaded when their first test runs.
export async function run(group, name) {
  for (const module of MODULES) await import(`../../js/${module}.js`);
  const tests = await import(`./${group}.js`);
  await tests[name]();
}
