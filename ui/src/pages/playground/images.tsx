/** Pictures that go with a message: chosen or pasted here, sent as parts of it, kept nowhere. */
import { type ReactNode, useRef, useState } from 'react'
import { bytes } from '../../format'
import '../../styles/images.css'

/** A part of a message, as the API takes it. */
export type Part = { type: 'text'; text: string } | { type: 'image_url'; image_url: { url: string } }
/** A picture as a `data:` URL, and what it is called here. */
export interface Picture { name: string; url: string; size: number }

const TYPES = ['image/png', 'image/jpeg', 'image/gif', 'image/webp']
// Of one, what the strictest provider takes; of all in a conversation, which is sent whole each time,
// what a request may have in base64.
const LARGEST = 5_000_000
const MOST_BYTES = 11_000_000
const MOST = 20

/** What a message holds: its text alone, or parts where pictures go with it. */
export function contentOf(text: string, pictures: readonly Picture[]): string | Part[] {
  if (pictures.length === 0) return text
  const images = pictures.map(({ url }): Part => ({ type: 'image_url', image_url: { url } }))
  return text.trim() === '' ? images : [{ type: 'text', text }, ...images]
}

export function textOfContent(content: string | readonly Part[]): string {
  return typeof content === 'string' ? content : content.map((part) => (part.type === 'text' ? part.text : '')).join('')
}

export function urlsOf(content: string | readonly Part[]): string[] {
  return typeof content === 'string' ? [] : content.flatMap((part) => (part.type === 'image_url' ? [part.image_url.url] : []))
}

/** Why files cannot go with a message; empty if they can. `held` is how many bytes there are already. */
export function refusal(files: readonly { name: string; type: string; size: number }[], held: { count: number; size: number }): string {
  const odd = files.find(({ type }) => !TYPES.includes(type))
  if (odd !== undefined) return `${odd.name} is no PNG, JPEG, GIF or WebP.`
  const large = files.find(({ size }) => size > LARGEST)
  if (large !== undefined) return `${large.name} has ${bytes(large.size)}; an image may have ${bytes(LARGEST)}.`
  if (held.count + files.length > MOST) return `A conversation may have ${MOST} images; clear it to begin another.`
  const size = files.reduce((sum, file) => sum + file.size, held.size)
  if (size > MOST_BYTES) return `The images of a conversation may have ${bytes(MOST_BYTES)} together; these would have ${bytes(size)}.`
  return ''
}

/** The bytes that a `data:` URL in base64 stands for. */
export function sizeOf(url: string): number {
  return Math.floor(((url.length - url.indexOf(',') - 1) * 3) / 4)
}

function read(file: File): Promise<Picture> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader()
    reader.onload = () => resolve({ name: file.name, url: String(reader.result), size: file.size })
    reader.onerror = () => reject(reader.error ?? new Error('unreadable'))
    reader.readAsDataURL(file)
  })
}

/** The pictures of the next message; `said` are those of the conversation so far. */
export function usePictures(said: readonly string[]): {
  pictures: readonly Picture[]
  problem: string
  set: (pictures: readonly Picture[]) => void
  add: (files: Iterable<File>) => Promise<void>
} {
  const [pictures, setPictures] = useState<readonly Picture[]>([])
  const [problem, setProblem] = useState('')
  const set = (next: readonly Picture[]): void => { setPictures(next); setProblem('') }
  const add = async (files: Iterable<File>): Promise<void> => {
    const chosen = [...files]
    const sizes = [...pictures.map(({ size }) => size), ...said.map(sizeOf)]
    const wrong = refusal(chosen, { count: sizes.length, size: sizes.reduce((sum, size) => sum + size, 0) })
    setProblem(wrong)
    if (wrong !== '') return
    try {
      const more = await Promise.all(chosen.map(read))
      setPictures((before) => [...before, ...more])
    } catch {
      setProblem('A file could not be read; choose it again.')
    }
  }
  return { pictures, problem, set, add }
}

/** What will go with the next message. */
export function Attached({ pictures, problem, onChange }: {
  pictures: readonly Picture[]
  problem: string
  onChange: (pictures: readonly Picture[]) => void
}): ReactNode {
  return (
    <>
      {pictures.length > 0 && (
        <ul className="pictures" aria-label="Images of the message">
          {pictures.map(({ name, url, size }, place) => (
            <li key={place}>
              <img src={url} alt={name} />
              <small>{name} <span className="muted">{bytes(size)}</span></small>
              <button type="button" className="small" aria-label={`Remove ${name}`} onClick={() => onChange(pictures.filter((_, other) => other !== place))}>✕</button>
            </li>
          ))}
        </ul>
      )}
      {problem !== '' && <p className="danger" role="alert">{problem}</p>}
    </>
  )
}

export function Attach({ onAdd }: { onAdd: (files: Iterable<File>) => void }): ReactNode {
  const input = useRef<HTMLInputElement>(null)
  return (
    <>
      <input ref={input} hidden type="file" multiple accept={TYPES.join(',')} aria-label="Images" onChange={(event) => {
        onAdd([...(event.target.files ?? [])])
        // The same file can be chosen again.
        event.target.value = ''
      }} />
      <button type="button" className="attach" aria-label="Attach images" title="Attach images, or paste one into the message" onClick={() => input.current?.click()}>Attach</button>
    </>
  )
}

/** Pictures that were sent. They are what somebody chose here, and fetch nothing. */
export function Sent({ urls }: { urls: readonly string[] }): ReactNode {
  if (urls.length === 0) return null
  return (
    <ul className="pictures" aria-label="Images">
      {urls.map((url, place) => <li key={place}><img src={url} alt={`Image ${place + 1} that was sent`} /></li>)}
    </ul>
  )
}
