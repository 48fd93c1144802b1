// Runs a test by name. Modules are loaded one after the other, when their first test runs: the runner's
// server gets stuck when a browser asks it for many things at once.
export async function run(group, name) {
  const tests = await import(`./${group}.js`);
  await tests[name]();
}
