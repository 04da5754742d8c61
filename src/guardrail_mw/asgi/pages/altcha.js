// Solves ALTCHA's proof of work (version 2, PBKDF2/SHA-256, a prefix that the derived key must have) and posts the answer.
// It begins by itself, for nobody needs to do anything; shown again, it waits for a click, so that no loop runs by itself.
const find = id => document.getElementById(id)
const { challenge, said, wait, reload } = JSON.parse(find("data").textContent)
const status = find("status"), button = find("button"), progress = find("progress"), form = find("form")
const { algorithm, nonce, salt, cost, keyLength = 32, keyPrefix = "00" } = challenge.parameters
const prefix = keyPrefix.toLowerCase()
const bytes = hex => Uint8Array.from(hex.match(/../g) || [], pair => parseInt(pair, 16))
const hex = made => Array.from(made, byte => byte.toString(16).padStart(2, "0")).join("")
const subtle = globalThis.crypto && crypto.subtle
const expected = 16 ** prefix.length
let run = 0, press

// Timers are held back in a tab that is not looked at; messages are not.
const channel = new MessageChannel()
let until = 0, waiting = []
channel.port1.onmessage = () => { until = performance.now() + 12; waiting.splice(0).forEach(go => go()) }
const pause = () => new Promise(go => { waiting.push(go); channel.port2.postMessage(0) })
const due = () => performance.now() > until

const derive = async counter => {
  const password = new Uint8Array([...bytes(nonce), counter >>> 24, counter >>> 16, counter >>> 8, counter])
  if (!subtle) return pbkdf2(password, bytes(salt), cost, keyLength, due, pause)
  const key = await subtle.importKey("raw", password, "PBKDF2", false, ["deriveBits"])
  const settings = { name: "PBKDF2", hash: "SHA-256", salt: bytes(salt), iterations: cost }
  return new Uint8Array(await subtle.deriveBits(settings, key, 8 * keyLength))
}

const show = (text, label, plain, does) => {
  if (status.textContent !== text) status.textContent = text
  button.textContent = label
  button.className = plain ? "plain" : ""
  press = does
}

// Said at most three times, for those who hear it: what it is, how long it will take, and that it takes longer.
const tell = (tried, seconds) => {
  progress.value = 1 - Math.exp(-tried / expected)
  if (seconds < 1.5) return
  const usual = expected * seconds / tried
  if (seconds > 3 * usual + 2) return said.slow
  const steps = [2, 3, 5, 10, 15, 20, 30, 45, 60, 90]
  const round = steps.find(step => step >= usual)
  return round ? said.seconds.replace("{n}", round) : said.minutes.replace("{n}", Math.ceil(usual / 60))
}

const solve = async mine => {
  let counter = 0, tried = 0, found, stage = 0
  const began = performance.now()
  const telling = setInterval(() => {
    const seconds = (performance.now() - began) / 1000
    const text = tell(tried, seconds)
    const next = !text ? 0 : text === said.slow ? 2 : 1
    if (run === mine && next > stage) { stage = next; status.textContent = text }
  }, 200)
  const lane = async () => {
    while (run === mine && !found) {
      const mark = counter++
      const derivedKey = hex(await derive(mark))
      tried++
      if (derivedKey.startsWith(prefix)) found = found || { counter: mark, derivedKey }
    }
  }
  try {
    if (algorithm !== "PBKDF2/SHA-256") throw new Error(algorithm)
    const lanes = subtle ? Math.min(8, navigator.hardwareConcurrency || 2) : 1
    await Promise.all(Array.from({ length: lanes }, lane))
  } finally {
    clearInterval(telling)
  }
  return found
}

const send = () => form.submit()
const start = async () => {
  const mine = ++run
  progress.hidden = false
  progress.value = 0
  show(said.working, said.stop, true, stop)
  try {
    const solution = await solve(mine)
    if (run !== mine) return
    const payload = JSON.stringify({ challenge, solution })
    form.elements.answer.value = btoa(String.fromCharCode(...new TextEncoder().encode(payload)))
    progress.value = 1
    show(said.done, said.go_on, false, send)
    send()
  } catch (error) {
    if (run === mine) rest(said.broken, said.retry)
  }
}
const rest = (text = said.ready, label = said.start) => {
  run++
  progress.hidden = true
  show(text, label, false, start)
}
const stop = () => rest(said.stopped, said.retry)

button.addEventListener("click", () => press())
addEventListener("pageshow", event => {
  // Kept by the browser and shown again by its back button: what was solved then is spent.
  if (!event.persisted) return
  if (reload) location.reload()
  else rest()
})
find("work").hidden = button.hidden = false
if (wait) {
  rest()
  button.focus()
} else start()
