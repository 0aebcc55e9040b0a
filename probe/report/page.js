// Sliders: without this script every figure of a sequence stands below the other.
for (const slides of document.querySelectorAll(".slides")) {
  const frames = [...slides.querySelectorAll(".slide")];
  const input = slides.querySelector("input");
  const output = slides.querySelector("output");
  const show = () => {
    frames.forEach((frame, n) => frame.classList.toggle("hidden", n !== Number(input.value)));
    const label = frames[Number(input.value)].dataset.label;
    output.textContent = label;
    input.setAttribute("aria-valuetext", label);
  };
  slides.classList.add("live");
  input.addEventListener("input", show);
  show();
}
// On paper nothing can be unfolded.
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((d) => { d.open = true; }));
