import { type RefObject, useEffect, useRef, useState } from 'react'

/** The width that a frame has, and at least so much. */
export function useWidth(least: number): [RefObject<HTMLDivElement | null>, number] {
  const frame = useRef<HTMLDivElement>(null)
  const [width, setWidth] = useState(least)
  useEffect(() => {
    const watch = new ResizeObserver(([entry]) => setWidth(Math.max(least, Math.floor(entry?.contentRect.width ?? 0))))
    if (frame.current !== null) watch.observe(frame.current)
    return () => watch.disconnect()
  }, [least])
  return [frame, width]
}
