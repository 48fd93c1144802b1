import {
  alice,
  beacons,
  begin,
  bob,
  clock,
  enter,
  equal,
  KEY,
  lastSocket,
  live,
  ok,
  place,
  settled,
  snapshot,
  sockets,
} from "./world.js";

const tell = (target, type, fields = {}) => {
  target.dispatchEvent(Object.assign(new Event(type), fields));
};

/** Makes a property of the document what the test says, for the time of one call. */
async function pretend(name, value, call) {
  Object.defineProperty(document, name, { configurable: true, get: () => value });
  try {
    await call();
  } finally {
    delete document[name];
  }
}

export async function a_page_that_is_hidden_leaves_at_once() {
  begin();
  const { socket } = await live();
  tell(window, "pagehide");
  equal(socket.frames("leave"), [{ key: KEY }]);
  equal(socket.closedWith, 1000);
  equal(beacons, []);
}

export async function a_page_that_is_closed_while_disconnected_sends_a_beacon() {
  begin();
  const { socket } = await live();
  socket.lose();
  tell(window, "pagehide");
  equal(beacons, [
    {
      url: "https://relay.example/v1/leave",
      body: { resume: "resume-token", dial: 1, keys: [KEY] },
    },
  ]);
}

export async function a_page_from_the_back_forward_cache_joins_again() {
  begin();
  const { here, socket } = await live([alice(), bob()]);
  const heard = [];
  for (const event of ["join", "leave"]) here.on(event, () => heard.push(event));
  tell(window, "pagehide", { persisted: true });
  // The socket's own close comes after that, if at all.
  socket.lose();
  await clock.pass(1000);
  equal(sockets.length, 1);
  tell(window, "pageshow", { persisted: true });
  await settled();
  equal(sockets.length, 2);
  const next = lastSocket();
  next.open();
  equal(next.frames("hello")[0].resume, undefined, "a new session");
  next.welcome({ session: "00000000000000a2" });
  snapshot(next, [{ ...alice(), session: "00000000000000a2" }], 5);
  equal(here.state, "live");
  equal(here.count, 1);
  equal(heard, [], "the new roster comes silently");
}

export async function a_page_that_is_only_shown_does_nothing() {
  begin();
  const { here, socket } = await live();
  tell(window, "pageshow", { persisted: false });
  await settled();
  equal(sockets.length, 1);
  equal(socket.closedWith, null);
  equal(here.state, "live");
}

export async function a_network_that_is_back_is_used_at_once() {
  begin();
  const { socket } = await live();
  socket.lose();
  await clock.pass(400);
  // By now it has been tried once more, in vain.
  lastSocket().lose();
  const before = sockets.length;
  tell(window, "online");
  await settled();
  equal(sockets.length, before + 1);
}

export async function a_tab_that_is_looked_at_again_dials_at_once() {
  begin();
  const { socket } = await live();
  socket.lose();
  await pretend("visibilityState", "hidden", async () => {
    tell(document, "visibilitychange");
    await settled();
    equal(sockets.length, 1, "hidden");
  });
  tell(document, "visibilitychange");
  await settled();
  equal(sockets.length, 2, "visible");
}

export async function a_tab_that_is_hidden_stays() {
  begin();
  const { here, socket } = await live();
  await pretend("visibilityState", "hidden", async () => {
    tell(document, "visibilitychange");
    await settled();
    equal(socket.frames("leave"), []);
    equal(socket.closedWith, null);
  });
  equal(here.state, "live");
}

export async function a_tab_that_is_hidden_is_away_until_it_is_shown() {
  begin();
  const { socket } = await live();
  await pretend("visibilityState", "hidden", async () => {
    tell(document, "visibilitychange");
    equal(socket.frames("attention"), [{ away: true }]);
    socket.lose();
    await clock.pass(400);
    lastSocket().welcome({ resumed: true });
    equal(lastSocket().frames("join")[0].away, true, "a new socket is told, too");
  });
  tell(document, "visibilitychange");
  equal(lastSocket().frames("attention"), [{ away: false }]);
}

export async function who_touches_nothing_is_away_until_the_next_touch() {
  begin();
  const { socket } = await live([alice()], { away: { idle: 5_000 } });
  await clock.pass(3_000);
  tell(document, "keydown");
  await clock.pass(4_000);
  equal(socket.frames("attention"), []);
  await clock.pass(1_000);
  equal(socket.frames("attention"), [{ away: true }]);
  tell(document, "pointermove");
  tell(document, "pointermove");
  equal(socket.frames("attention"), [{ away: true }, { away: false }]);
}

export async function a_page_that_doesnt_want_to_be_away_never_is() {
  begin();
  const { socket } = await live([alice()], { away: false });
  await pretend("visibilityState", "hidden", () => tell(document, "visibilitychange"));
  await clock.pass(600_000);
  equal(socket.frames("attention"), []);
}

export async function a_page_that_is_prerendered_waits() {
  begin();
  await pretend("prerendering", true, async () => {
    const here = enter({ meta: { a: 1 } });
    const other = enter({ key: "other" });
    here.update({ b: 2 });
    other.leave();
    await clock.pass(60_000);
    equal(sockets.length, 0);
    equal(here.state, "connecting");
  });
  tell(document, "prerenderingchange");
  await settled();
  equal(sockets.length, 1);
  lastSocket().welcome();
  equal(lastSocket().frames("join"), [{ key: KEY, meta: { a: 1, b: 2 } }]);
}

export async function time_asleep_counts() {
  begin();
  const { here, socket } = await live([alice(), bob()]);
  await clock.pass(1000);
  clock.sleep(60_000);
  tell(document, "visibilitychange");
  await settled();
  // It doesn't know yet whether the socket has survived.
  equal(socket.frames("heartbeat").length, 1);
  await clock.pass(6_000);
  equal(socket.closedWith, 4000);
  equal(here.state, "reconnecting");
}

export async function a_bar_is_stale_after_a_sleep() {
  begin();
  place();
  const { here, socket } = await live([alice(), bob()]);
  here.bar("#place");
  socket.lose();
  clock.sleep(60_000);
  tell(document, "visibilitychange");
  equal(document.querySelector(".presence").dataset.state, "stale");
}

export async function after_leaving_nothing_listens_any_more() {
  begin();
  const { here, socket } = await live();
  here.leave();
  await settled();
  const nTimers = clock.nTimers;
  const nFrames = socket.sent.length;
  for (const type of ["pagehide", "pageshow", "online"]) tell(window, type, { persisted: true });
  tell(document, "visibilitychange");
  await clock.pass(120_000);
  equal(nTimers, 0, "timers");
  equal([sockets.length, socket.sent.length, beacons.length], [1, nFrames, 0]);
  equal([socket.onopen, socket.onmessage, socket.onclose], [null, null, null]);
  ok(here.state === "stopped");
}
