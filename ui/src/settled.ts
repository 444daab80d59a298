import { useEffect, useState } from 'react'

const SETTLED_MS = 60

/** A value once it has stopped changing, so that not each key is a request. */
export function useSettled(value: string): string {
  const [settled, setSettled] = useState(value)
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), SETTLED_MS)
    return () => clearTimeout(timer)
  }, [value])
  return settled
}
