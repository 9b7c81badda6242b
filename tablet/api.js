/**
 * Speaks to the server. An action (scan, vehicle, cash, shift) has an id made here and is sent one at a time, in order:
 * until its answer is known it is kept, and sent again with the same id, so nothing is done twice and nothing is
 * called done that was not.
 */

import { keep, newId, store } from "./store.js";

const ROOT = "/api/v1/device";
const PATIENCE_MS = 8000;
const AGAIN_MS = 3000;

/** The server said no: `code` is stable, `message` is the sentence in the attendant's language. */
export class Refused extends Error {
  constructor(problem, status) {
    super(problem.title ?? String(status));
    this.status = status;
    this.code = problem.code ?? "refused";
    this.facts = problem;
  }
}

/** No answer came: whether the server did it is not known. */
export class NoAnswer extends Error {}

/** The attendant gave up on an action that has no answer. */
export class LeftOut extends Error {}

/** Tells the app what the network and the login do. */
export const changes = new EventTarget();
export const connection = { lost: false };

function connected(yes) {
  if (connection.lost === !yes) return;
  connection.lost = !yes;
  changes.dispatchEvent(new Event("connection"));
}

/**
 * One request. Throws Refused, NoAnswer.
 * @param {string} path under /api/v1/device
 */
export async function ask(path, body = undefined, { method = body === undefined ? "GET" : "POST", token } = {}) {
  let answer, value;
  try {
    answer = await fetch(ROOT + path, {
      method,
      // The cookie of a visitor's page must not choose the language here.
      credentials: "omit",
      cache: "no-store",
      headers: {
        "Accept-Language": store.settings.language,
        ...(body === undefined ? {} : { "Content-Type": "application/json" }),
        ...(token ?? store.session?.token ? { Authorization: `Bearer ${token ?? store.session?.token}` } : {}),
      },
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
    value = answer.status === 204 ? null : await answer.json();
  } catch {
    connected(false);
    throw new NoAnswer();
  }
  // A proxy that answers for a server that is away is no answer of the server.
  if ([502, 503, 504].includes(answer.status) && !value?.code) {
    connected(false);
    throw new NoAnswer();
  }
  connected(true);
  if (answer.ok) return value;
  const refused = new Refused(value, answer.status);
  if (refused.code === "device_revoked") changes.dispatchEvent(new Event("revoked"));
  else if (refused.code === "shift_closed_by_office" || refused.code === "shift_over") changes.dispatchEvent(new CustomEvent("shift-over", { detail: refused }));
  else if (answer.status === 401 && token === undefined) changes.dispatchEvent(new Event("login"));
  throw refused;
}

let last = Promise.resolve();

/**
 * Does an action and returns its outcome; waits for the one before it. Throws Refused (nothing was done), LeftOut.
 * @param {string} path
 * @param {Record<string, any>} body without id, counter and at
 */
export function act(path, body) {
  const turn = last.then(() => {
    keep({ pending: { path, body: { id: newId(), counter: store.counter, at: new Date().toISOString(), ...body } } });
    return settle();
  });
  last = turn.catch(() => undefined);
  return turn;
}

/** Resumes the action that a reload interrupted, if there is one. @returns {Promise<any>} */
export function resume() {
  if (store.pending === null) return Promise.resolve(null);
  const turn = settle();
  last = turn.catch(() => undefined);
  return turn;
}

let wake = () => {};
let leave = () => {};

/** Sends the pending action at once instead of waiting for the next try. */
export const tryAgain = () => wake();
/** Gives up on the pending action: it is not known whether the server did it, so its number stays used. */
export const leaveOut = () => leave();

async function settle() {
  const { path, body } = store.pending;
  const done = (recorded) => {
    // A refusal leaves nothing behind on the server: the next action takes the same number.
    keep({ pending: null, counter: recorded ? body.counter + 1 : body.counter });
    changes.dispatchEvent(new Event("settled"));
  };
  let unsure = false;
  for (;;) {
    try {
      const outcome = await ask(path, body);
      done(true);
      return outcome;
    } catch (error) {
      if (!(error instanceof NoAnswer || error.status >= 500 || error.code === "still_running")) {
        // A login that ran out between two tries says nothing about the first: it is asked again after the next login.
        if (!(error.status === 401 && unsure)) done(false);
        throw error;
      }
      unsure = true;
    }
    changes.dispatchEvent(new Event("unsettled"));
    const stay = await new Promise((go) => {
      wake = () => go(true);
      leave = () => go(false);
      setTimeout(() => go(true), AGAIN_MS);
    });
    if (!stay) {
      done(true);
      throw new LeftOut();
    }
  }
}
