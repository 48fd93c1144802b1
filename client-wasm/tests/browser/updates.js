import { begin, clock, equal, lastSocket, live, ok, refused, settled } from "./world.js";

const metas = (socket) => socket.frames("update").map(({ meta }) => meta);

export async function a_patch_is_merged_and_null_removes() {
  begin();
  const { here, socket } = await live(undefined, { meta: { section: "goals", a: 1 } });
  equal(
    socket.frames("join").map(({ meta }) => meta),
    [{ section: "goals", a: 1 }],
  );
  await clock.pass(60);
  here.update({ a: null, b: { c: null } });
  await clock.pass(60);
  here.update({ section: "risks", nothing: undefined, constructor: 1 });
  equal(metas(socket), [
    { section: "goals", b: { c: null } },
    { section: "risks", b: { c: null }, constructor: 1 },
  ]);
}

export async function the_whole_meta_is_sent_again_after_a_loss() {
  begin();
  const { here, socket } = await live(undefined, { meta: { section: "goals" } });
  await clock.pass(60);
  here.update({ is_typing: true });
  socket.lose();
  here.update({ offline: true });
  await clock.pass(1000);
  const next = lastSocket();
  ok(next !== socket);
  next.welcome({ resumed: true });
  equal(
    next.frames("join").map(({ meta }) => meta),
    [{ section: "goals", is_typing: true, offline: true }],
  );
}

export async function updates_are_sent_at_most_twenty_times_a_second() {
  begin();
  const { here, socket } = await live();
  await clock.pass(60);
  for (let n = 0; n <= 10_000; n += 1) here.update({ n });
  await clock.pass(50);
  equal(
    metas(socket).map(({ n }) => n),
    [0, 10_000],
  );
}

export async function a_patch_that_is_no_meta_changes_nothing() {
  begin();
  const { here, socket } = await live(undefined, { meta: { a: "x".repeat(3000) } });
  await clock.pass(60);
  refused("bad_meta", "4096 bytes", () => here.update({ b: "x".repeat(2000) }));
  refused("bad_meta", "object", () => here.update([1]));
  refused("bad_meta", "object", () => here.update("text"));
  refused("bad_meta", "object", () => here.update(null));
  refused("bad_meta", "object", () => here.update(undefined));
  refused("bad_meta", "object", () => here.update(() => {}));
  const deep = JSON.parse(`{"d":${"[".repeat(16)}${"]".repeat(16)}}`);
  refused("bad_meta", "16 levels", () => here.update(deep));
  await clock.pass(60);
  equal(metas(socket), []);
  here.update({ b: 1 });
  equal(Object.keys(metas(socket)[0]), ["a", "b"]);
}

export async function what_is_no_json_is_refused() {
  begin();
  const { here } = await live();
  const circular = {};
  circular.self = circular;
  refused("bad_meta", "JSON", () => here.update(circular));
  refused("bad_meta", "JSON", () => here.update({ big: 1n }));
  refused("bad_meta", "JSON", () =>
    here.update({
      get trap() {
        throw new Error("the page's own");
      },
    }),
  );
  refused("bad_meta", "object", () => here.update({ toJSON: () => "text" }));
}

export async function a_listener_may_update() {
  begin();
  const { here, socket } = await live();
  await clock.pass(60);
  here.on("change", ({ count }) => here.update({ count }));
  socket.say({ delta: { key: here.key, from: 1, to: 2, updated: [] } });
  socket.say({ snapshot: { key: here.key, rev: 3, presences: [] } });
  await settled();
  equal(metas(socket), [{ count: 0 }]);
}
