import { fireEvent, render, screen } from "@testing-library/react";
import { useState } from "react";
import { expect, it } from "vitest";
import { useFocusKept } from "./useFocusKept";

function Swapping({ titled = false }: { titled?: boolean }) {
  const [shown, setShown] = useState("first");
  const place = useFocusKept(shown);
  return (
    <main id="content">
      <h1>Title</h1>
      <button type="button" onClick={() => setShown("second")}>
        Stays
      </button>
      {shown === "first" ? (
        <button type="button" onClick={() => setShown("second")}>
          Goes
        </button>
      ) : (
        <p ref={titled ? undefined : place}>Second</p>
      )}
    </main>
  );
}

function press(name: string) {
  const button = screen.getByRole("button", { name });
  button.focus();
  fireEvent.click(button);
}

it("the keyboard is at what took the place of what it was at", () => {
  render(<Swapping />);
  press("Goes");
  expect(document.activeElement?.textContent).toBe("Second");
});

it("else it is at the page's title", () => {
  render(<Swapping titled />);
  press("Goes");
  expect(document.activeElement?.textContent).toBe("Title");
});

it("stays where it is when that is still there", () => {
  render(<Swapping />);
  press("Stays");
  expect(document.activeElement?.textContent).toBe("Stays");
});

it("is not taken by what comes while it is nowhere", () => {
  render(<Swapping />);
  const stays = screen.getByRole("button", { name: "Stays" });
  stays.focus();
  stays.blur();
  fireEvent.click(screen.getByRole("button", { name: "Goes" }));
  expect(document.activeElement).toBe(document.body);
});
