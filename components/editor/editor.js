// CodeMirror and the few lines that make it the page's YAML editor. The page (components/src/editor/) loads this
// once it has painted, and owns everything else: files, problems, what Apply does.
//
// Picture to hold in mind: a desk with one sheet on it. Each file's sheet keeps its own undo history while another
// one lies on the desk; colours come from the style sheet's tokens, so light and dark need no code here.

import { closeBrackets, closeBracketsKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands";
import { yaml } from "@codemirror/lang-yaml";
import {
  HighlightStyle,
  bracketMatching,
  foldGutter,
  foldKeymap,
  indentOnInput,
  indentUnit,
  syntaxHighlighting,
} from "@codemirror/language";
import { lintGutter, lintKeymap, nextDiagnostic, setDiagnostics } from "@codemirror/lint";
import { highlightSelectionMatches, searchKeymap } from "@codemirror/search";
import { Compartment, EditorState, Prec, Text } from "@codemirror/state";
import {
  EditorView,
  drawSelection,
  dropCursor,
  highlightActiveLine,
  highlightActiveLineGutter,
  highlightSpecialChars,
  keymap,
  lineNumbers,
  rectangularSelection,
} from "@codemirror/view";
import { tags } from "@lezer/highlight";

/** Nesting past which a text is left uncoloured: CodeMirror's highlighter calls itself once a level. */
const DEEPEST = 300;
/** The longest text that the editor takes, in UTF-16 units: far past any manifest, far below what would hang. */
const LONGEST = 2_000_000;

const theme = EditorView.theme({
  "&": { height: "100%", color: "var(--ink)", backgroundColor: "var(--surface)", fontSize: "var(--text-code)" },
  "&.cm-focused": { outline: "none" },
  ".cm-scroller": { fontFamily: "var(--font-code)", lineHeight: "var(--line-code)", fontVariantLigatures: "none" },
  ".cm-content": { caretColor: "var(--steady)", paddingBlock: "var(--space-2)" },
  ".cm-cursor, .cm-dropCursor": { borderLeftColor: "var(--steady)", borderLeftWidth: "2px" },
  ".cm-gutters": { color: "var(--ink-faint)", backgroundColor: "var(--surface)", border: "none" },
  ".cm-activeLineGutter": { backgroundColor: "var(--surface-selected)", color: "var(--ink)" },
  ".cm-activeLine": { backgroundColor: "color-mix(in srgb, var(--surface-selected) 60%, transparent)" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": {
    backgroundColor: "color-mix(in srgb, var(--steady) 28%, transparent)",
  },
  ".cm-matchingBracket": { outline: "1px solid var(--line-strong)", backgroundColor: "transparent !important" },
  ".cm-panels, .cm-tooltip": { color: "var(--ink)", backgroundColor: "var(--surface-raised)", borderColor: "var(--line)" },
  ".cm-tooltip": { boxShadow: "var(--shadow)", borderRadius: "var(--radius-small)", overflow: "hidden" },
  ".cm-panel input, .cm-panel button": { fontSize: "var(--text-small)" },
  ".cm-diagnostic": { padding: "var(--space-2) var(--space-3)", fontFamily: "var(--font-text)", maxWidth: "36rem" },
  ".cm-diagnostic-error": { borderLeftColor: "var(--failed)" },
  ".cm-diagnostic-warning": { borderLeftColor: "var(--motion)" },
  ".cm-lintRange-error": { backgroundImage: "none", textDecoration: "underline wavy var(--failed) 1.5px", textUnderlineOffset: "3px" },
  ".cm-lintRange-warning": { backgroundImage: "none", textDecoration: "underline wavy var(--motion) 1.5px", textUnderlineOffset: "3px" },
  ".cm-foldPlaceholder": { color: "var(--ink-muted)", background: "var(--surface-sunken)", borderColor: "var(--line)" },
});

const colours = HighlightStyle.define([
  { tag: [tags.propertyName, tags.definition(tags.propertyName)], color: "var(--code-key)" },
  { tag: [tags.string, tags.special(tags.string)], color: "var(--code-string)" },
  { tag: [tags.number, tags.bool, tags.null, tags.keyword, tags.labelName, tags.typeName], color: "var(--code-number)" },
  { tag: [tags.comment, tags.lineComment], color: "var(--code-comment)", fontStyle: "italic" },
  { tag: [tags.meta, tags.separator, tags.punctuation, tags.brace, tags.squareBracket], color: "var(--ink-muted)" },
]);

/** What any text editor can do. CodeMirror's own basicSetup also completes words, from a list that YAML does not have. */
const basics = [
  lineNumbers(),
  highlightActiveLineGutter(),
  highlightSpecialChars(),
  history(),
  foldGutter(),
  drawSelection(),
  dropCursor(),
  EditorState.allowMultipleSelections.of(true),
  indentOnInput(),
  bracketMatching(),
  closeBrackets(),
  rectangularSelection(),
  highlightActiveLine(),
  highlightSelectionMatches(),
  keymap.of([
    ...closeBracketsKeymap,
    ...defaultKeymap,
    ...searchKeymap,
    ...historyKeymap,
    ...foldKeymap,
    ...lintKeymap,
    indentWithTab,
  ]),
];

/**
 * Whether a text may nest deeper than DEEPEST. Counts what can open a level, not what does: brackets that are open, quoted
 * or not, and on each line the columns of indentation and `- - -` before the first word.
 * @param {import("@codemirror/state").Text} doc
 */
function isDeep(doc) {
  let open = 0;
  let column = 0;
  let beforeWord = true;
  for (const piece of doc.iter()) {
    for (let index = 0; index < piece.length; index += 1) {
      const code = piece.charCodeAt(index);
      if (code === 10) [column, beforeWord] = [0, true];
      else if (code === 91 || code === 123) open += 1;
      else if (code === 93 || code === 125) open = Math.max(0, open - 1);
      else if (beforeWord && (code === 32 || code === 45 || code === 63)) column += 1;
      else beforeWord = false;
      if (open + column > DEEPEST) return true;
    }
  }
  return false;
}

/**
 * @param {HTMLElement} parent
 * @param {{changed(): void, apply(): void, refused(message: string): void,
 *          opened(name: string, text: string): void, dragging(over: boolean): void}} page
 */
export function createEditor(parent, page) {
  const sheets = new Map();
  let current = null;

  const tooLong = (length) =>
    `That is ${(length / 1e6).toFixed(1)} million characters; the editor takes ${LONGEST / 1e6} million. Nothing was changed.`;
  // The language is what colours, folds and indents; a text that nests too deeply for it is edited without.
  const language = new Compartment();
  const languageOf = (doc) => (isDeep(doc) ? [] : yaml());
  const setup = (doc) => [
    Prec.highest(keymap.of([{ key: "Mod-Enter", run: () => (page.apply(), true) }, { key: "F8", run: nextDiagnostic }])),
    ...basics,
    language.of(languageOf(doc)),
    EditorState.transactionExtender.of((transaction) => {
      if (!transaction.docChanged) return null;
      const wanted = languageOf(transaction.newDoc);
      const isOff = (extension) => Array.isArray(extension);
      return isOff(wanted) === isOff(language.get(transaction.startState)) ? null : { effects: language.reconfigure(wanted) };
    }),
    indentUnit.of("  "),
    EditorState.tabSize.of(2),
    lintGutter(),
    syntaxHighlighting(colours),
    theme,
    EditorView.contentAttributes.of({ "aria-label": "Manifest", spellcheck: "false", autocapitalize: "off" }),
    EditorState.changeFilter.of((transaction) => {
      const length = transaction.newDoc.length;
      if (!transaction.docChanged || length <= LONGEST || length < transaction.startState.doc.length) return true;
      page.refused(tooLong(length));
      return false;
    }),
    EditorView.domEventHandlers({
      // Refused before CodeMirror splits it into lines.
      paste(event) {
        const length = event.clipboardData?.getData("text/plain").length ?? 0;
        if (length <= LONGEST) return false;
        page.refused(tooLong(length));
        event.preventDefault();
        return true;
      },
      drop: (event) => event.dataTransfer?.files.length > 0,
    }),
    EditorView.updateListener.of((update) => {
      if (update.docChanged) page.changed();
    }),
  ];

  const stateOf = (text) => {
    const doc = Text.of(text.split(/\r\n?|\n/));
    return EditorState.create({ doc, extensions: setup(doc) });
  };
  const view = new EditorView({ parent, state: stateOf("") });

  const fileDrag = (event) => event.dataTransfer?.types.includes("Files");
  let depth = 0;
  const over = (change) => page.dragging((depth = Math.max(0, depth + change)) > 0);
  addEventListener("dragenter", (event) => fileDrag(event) && over(1));
  addEventListener("dragleave", (event) => fileDrag(event) && over(-1));
  addEventListener("dragover", (event) => fileDrag(event) && event.preventDefault());
  addEventListener("drop", (event) => {
    if (!fileDrag(event)) return;
    event.preventDefault();
    over(-depth);
    for (const file of event.dataTransfer.files) open(file);
  });

  async function open(file) {
    if (file.size > LONGEST * 4) return page.refused(`${file.name}: ${tooLong(file.size)}`);
    try {
      const text = new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer());
      if (text.length > LONGEST) page.refused(`${file.name}: ${tooLong(text.length)}`);
      else page.opened(file.name, text);
    } catch (error) {
      page.refused(
        error instanceof TypeError
          ? `${file.name} is not UTF-8 text, so it was not opened. Save it as UTF-8 and drop it again.`
          : `${file.name} could not be read: ${error.message}`,
      );
    }
  }

  return {
    /** Lays the sheet `key` on the desk; `text` counts when the sheet is new or differs. */
    show(key, text) {
      if (current !== null) sheets.set(current, view.state);
      current = key;
      let state = sheets.get(key);
      if (!state || state.doc.toString() !== text) state = stateOf(text);
      view.setState(state);
    },
    forget(key) {
      sheets.delete(key);
      if (current === key) current = null;
    },
    text: () => view.state.doc.toString(),
    /** What lies outside the text (it may have changed meanwhile) is moved inside. */
    diagnose(diagnostics) {
      const length = view.state.doc.length;
      const inside = diagnostics.map((one) => {
        const from = Math.min(one.from, length);
        return { ...one, from, to: Math.min(Math.max(one.to, from), length) };
      });
      view.dispatch(setDiagnostics(view.state, inside));
    },
    /** Goes to the next problem after the cursor. */
    next() {
      nextDiagnostic(view);
      view.focus();
    },
    focus: () => view.focus(),
    select(from, to) {
      view.dispatch({ selection: { anchor: from, head: to }, scrollIntoView: true });
    },
  };
}
