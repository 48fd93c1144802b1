import { begin, clock, enter, equal, lastSocket, live, ok, settled, sockets } from "./world.js";

const tokens = () => {
  for (const socket of sockets) socket.open();
  return sockets.flatMap((socket) => socket.frames("hello")).map(({ token }) => token);
};

export async function a_text_is_used_as_it_is() {
  begin();
  enter({ token: "as it is" });
  equal(tokens(), ["as it is"]);
}

export async function a_function_may_be_plain_or_async() {
  begin();
  enter({ token: () => "a.plain.b" });
  enter({ token: async () => "a.async.b", key: "a" });
  // biome-ignore lint/suspicious/noThenProperty: somebody else's promise
  enter({ token: () => ({ then: (done) => done("a.thenable.b") }), key: "b" });
  await settled();
  equal(tokens(), ["a.plain.b", "a.async.b", "a.thenable.b"]);
}

export async function a_function_that_throws_is_called_again() {
  begin();
  let calls = 0;
  const here = enter({
    token: () => {
      calls += 1;
      if (calls === 1) throw new Error("no network");
      return calls === 2 ? Promise.reject("no") : "at.last.now";
    },
  });
  const errors = [];
  here.on("error", ({ code, cause }) => errors.push([code, cause?.message ?? cause]));
  // The first call comes before anybody can listen.
  await clock.pass(2_500);
  equal(calls, 3);
  equal(errors.at(-1), ["token_failed", "no"]);
  equal(tokens(), ["at.last.now"]);
  equal(here.state, "connecting");
}

export async function what_is_no_token_is_an_error() {
  begin();
  for (const [i, value] of [undefined, null, 42, "", {}, "<html>502</html>", "a.b"].entries()) {
    const here = enter({ token: () => value, key: `key:${i}` });
    const codes = [];
    here.on("error", ({ code }) => codes.push(code));
    await settled();
    equal(codes, ["token_failed"]);
    here.leave();
  }
  equal(sockets.length, 0);
}

export async function a_function_that_hangs_is_given_up() {
  begin();
  let calls = 0;
  enter({
    token: () => {
      calls += 1;
      return calls === 1 ? new Promise(() => {}) : "the.second.one";
    },
  });
  await clock.pass(9_000);
  equal(calls, 1);
  await clock.pass(3_000);
  equal(calls, 2);
  equal(tokens(), ["the.second.one"]);
}

export async function an_answer_that_comes_too_late_means_nothing() {
  begin();
  const answers = [];
  const here = enter({ token: () => new Promise((resolve) => answers.push(resolve)) });
  await clock.pass(12_000);
  equal(answers.length, 2);
  answers[0]("a.late.b");
  await settled();
  equal(sockets.length, 0);
  here.leave();
  answers[1]("a.later.b");
  await settled();
  equal(sockets.length, 0);
}

export async function an_expired_token_is_fetched_anew() {
  begin();
  let calls = 0;
  const { here, socket } = await live(undefined, {
    token: () => {
      calls += 1;
      return `token.${calls}.x`;
    },
  });
  socket.lose(4419);
  await clock.pass(1000);
  ok(lastSocket() !== socket);
  equal(tokens().at(-1), "token.2.x");
  equal(here.state, "reconnecting");
}

export async function a_page_that_is_somebody_else_brings_another_token_and_stays_live() {
  begin();
  let who = "a.alice.b";
  const { here, socket } = await live(undefined, { token: () => who });
  const states = [];
  here.on("state", ({ state }) => states.push(state));
  who = "a.bob.b";
  here.renewToken();
  await settled();
  equal(socket.frames("token"), [{ token: "a.bob.b" }]);
  socket.say({ token: { resume: "bob's resume token", expires_in_ms: 3_600_000 } });
  await settled();
  socket.lose();
  await clock.pass(1000);
  lastSocket().open();
  const [{ token, resume }] = lastSocket().frames("hello");
  equal([token, resume], ["a.bob.b", "bob's resume token"]);
  equal(states, ["reconnecting"], "and only that");
}

export async function a_token_is_renewed_before_it_expires() {
  begin();
  let calls = 0;
  const { here, socket } = await live(undefined, {
    token: () => {
      calls += 1;
      return `token.${calls}.x`;
    },
  });
  for (let n = 0; n < 364; n += 1) {
    await clock.pass(10_000);
    socket.say({ heartbeat: { revs: [] } });
    if (socket.frames("token").length > 0) break;
  }
  equal(socket.frames("token"), [{ token: "token.2.x" }]);
  equal(here.state, "live");
}

export async function a_denied_token_stops() {
  begin();
  const here = enter();
  const heard = [];
  here.on("state", ({ state, reason }) => heard.push(`${state} ${reason}`));
  here.on("error", ({ code }) => heard.push(code));
  await settled();
  lastSocket().open();
  lastSocket().lose(4401);
  equal(heard, ["stopped denied", "denied"]);
  equal(here.state, "stopped");
  equal((await here.ready.catch((it) => it)).code, "denied");
  await clock.pass(120_000);
  equal(sockets.length, 1);
}
