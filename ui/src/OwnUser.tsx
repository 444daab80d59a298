import { type ReactNode, useState } from 'react'
import { Link } from 'wouter'
import { useMe } from './me'

// Whose token is a setting of the operator.
const OPERATOR = 'admin'
// Until the page is loaded again; nothing of it is kept in the browser.
let unwanted = false

/** Tells whoever is the administrator that each deployment has that a user of one's own is better. */
export function OwnUser(): ReactNode {
  const me = useMe()
  const [hidden, setHidden] = useState(unwanted)
  if (hidden || me.name !== OPERATOR) return null
  return (
    <div className="banner warning own-user" role="note">
      <span>This is the administrator that every deployment has. With a <Link href="/identity/users">user of your own</Link> the audit log tells who did what.</span>
      <button type="button" className="small" onClick={() => { unwanted = true; setHidden(true) }}>Hide</button>
    </div>
  )
}
