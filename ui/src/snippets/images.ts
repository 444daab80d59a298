/**
 * Images in copied requests. A small one stands in the text; one that would be longer than people
 * read, or a shell takes, is read from a file that the text names. Pure.
 */

// Characters of a `data:` URL that stand in the text.
const LONGEST = 4000
const IMAGE = /^data:image\/([a-z]+);base64,/
const MARK = '\u0002'
const MARKED = new RegExp(`"\\\\u0002([a-z]+) (image-\\d+\\.[a-z]+)\\\\u0002"`, 'g')

/** What stands for a long image until the text is written; `files` are those that there are. */
export function hideImage(value: string, files: string[]): string {
  const kind = value.length > LONGEST ? IMAGE.exec(value)?.[1] : undefined
  if (kind === undefined) return value
  const file = `image-${files.length + 1}.${kind === 'jpeg' ? 'jpg' : kind}`
  files.push(file)
  return `${MARK}${kind} ${file}${MARK}`
}

export function hasImages(json: string): boolean {
  return json.search(MARKED) >= 0
}

/** JSON for curl to read from a here document, in which the shell puts what files hold. */
export function hereDocument(json: string): string {
  const images: string[] = []
  const kept = json.replace(MARKED, (_, kind: string, file: string) => {
    images.push(`"data:image/${kind};base64,$(base64 < ${file} | tr -d '\\n')"`)
    return MARK
  })
  const escaped = kept.replace(/[\\$`]/g, '\\$&')
  return escaped.replaceAll(MARK, () => images.shift() ?? '')
}

/** A text of Python in which images are read from files. */
export function pythonImages(text: string): string {
  return text.replace(MARKED, (_, kind: string, file: string) => `"data:image/${kind};base64," + base64.b64encode(open("${file}", "rb").read()).decode()`)
}

/** What says which file is which, in the comments that curl's shell and Python share. */
export function told(files: readonly string[]): string {
  return files.length === 0 ? '' : `# ${files.join(', ')}: the images, in their order, as files beside this.\n`
}
