/** What the tablet keeps between two loads of the page. Everything else is asked from the server. */

/**
 * @typedef {{number: number, code: string, service: "ticketing"|"parking", name_vi: string, name_en: string,
 *   classes?: {code: string, name_vi: string, name_en: string}[],
 *   categories?: {code: string, name_vi: string, name_en: string, proof_vi?: string, proof_en?: string, price_vnd: number}[]
 * }} Place
 * @typedef {{id: string, number: number, place: number, opened_at: string, float_vnd: number, receipts: number,
 *   counted_at: string|null, drops: {number: number, amount_vnd: number, notes: Record<string, number>, expires_at: string}[]}} Shift
 * @typedef {{path: string, body: Record<string, any>}} Action
 */

const NAME = "motcham.tablet";

const EMPTY = {
  /** @type {{token: string, name: string, operator: {code: string, name_vi: string, name_en: string}}|null} */
  device: null,
  /** @type {{token: string, attendant: {login: string, name: string}, expires_at: string}|null} */
  session: null,
  /** @type {Place[]} */
  places: [],
  /** @type {Shift|null} */
  shift: null,
  /** What the count of this shift came to. @type {{expected_vnd: number, counted_vnd: number, difference_vnd: number, notes: Record<string, number>}|null} */
  counted: null,
  /** Who closed the last shift over the attendant's head, until he has read it. @type {{number: number, name: string, at: string}|null} */
  overruled: null,
  /** The number of the next action; contiguous, so that the server sees a missing one. */
  counter: 0,
  /** @type {Action|null} the action whose answer we do not know yet; it survives a reload */
  pending: null,
  /** Chosen place number per service. @type {Record<string, number>} */
  chosen: {},
  settings: { language: "vi", sound: true, vibrate: true, countHeads: false, closeAfter: 0 },
  /** Admitted at this tablet today. */
  today: { day: "", heads: 0, scans: 0 },
};

/** @type {typeof EMPTY} */
export const store = read();

function read() {
  try {
    const kept = JSON.parse(localStorage.getItem(NAME) ?? "{}");
    return { ...structuredClone(EMPTY), ...kept, settings: { ...EMPTY.settings, ...kept.settings } };
  } catch {
    return structuredClone(EMPTY);
  }
}

/** @param {Partial<typeof EMPTY>} changes */
export function keep(changes) {
  Object.assign(store, changes);
  localStorage.setItem(NAME, JSON.stringify(store));
}

/** @param {Partial<typeof EMPTY.settings>} changes */
export function set(changes) {
  keep({ settings: { ...store.settings, ...changes } });
}

/** Forgets device, session and places (a revoked tablet must know nothing), keeps the settings. */
export function wipe() {
  keep({ ...structuredClone(EMPTY), settings: store.settings });
}

/** The place at which this tablet does the work of a service. @returns {Place|undefined} */
export function placeOf(service) {
  const all = store.places.filter((place) => place.service === service);
  return all.find((place) => place.number === store.chosen[service]) ?? all[0];
}

/** An id for an action. crypto.randomUUID is missing on plain http, which the local network of a demo is. */
export function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}
