// Hands the token of another company's widget to our form.
const find = id => document.getElementById(id)
const { said, reload } = JSON.parse(find("data").textContent)
const status = find("status"), button = find("button"), form = find("form"), widget = find("widget")
const say = text => { status.textContent = text }
const send = () => form.submit()

globalThis.guardrailAnswer = token => {
  form.elements.answer.value = token
  say(said.done)
  button.textContent = said.go_on
  button.hidden = false
  send()
}
globalThis.guardrailLate = () => { button.hidden = true; say(said.late) }
globalThis.guardrailError = () => {
  say(said.blocked)
  button.textContent = said.retry
  button.hidden = false
}
button.addEventListener("click", () => form.elements.answer.value ? send() : location.reload())
addEventListener("error", event => { if (event.target !== globalThis) globalThis.guardrailError() }, true)
addEventListener("pageshow", event => { if (event.persisted && reload) location.reload() })
if (matchMedia("(prefers-color-scheme: dark)").matches && !widget.dataset.theme) widget.dataset.theme = "dark"
find("work").hidden = false
