import { expect, test } from 'vitest'
import { type Entry, reasonsOf } from '../src/pages/endpoint/access'

const ENTRIES: Entry[] = [
  { user_name: 'ann', all_permissions: [{ permission_level: 'CAN_VIEW' }] },
  // A group that is called as a user is.
  { group_name: 'ann', all_permissions: [{ permission_level: 'CAN_MANAGE' }] },
  { group_name: 'support', all_permissions: [{ permission_level: 'CAN_QUERY' }] },
  { group_name: 'admins', all_permissions: [{ permission_level: 'CAN_VIEW' }, { permission_level: 'CAN_MANAGE', inherited: true }] },
]

test('the highest level comes first, with the grant that gives it', () => {
  const ann = reasonsOf(ENTRIES, { names: ['ann'], groups: ['support', 'users'] })
  expect(ann).toEqual([
    { level: 'CAN_QUERY', why: 'as a member of the group support' },
    { level: 'CAN_VIEW', why: 'by a grant of its own' },
  ])
  const [admin, granted] = reasonsOf(ENTRIES, { names: ['root'], groups: ['admins'] })
  expect([admin?.level, admin?.why, granted?.level]).toEqual(['CAN_MANAGE', 'as a member of the group admins, which manages every endpoint', 'CAN_VIEW'])
  expect(reasonsOf(ENTRIES, { names: ['bob'], groups: [] })).toEqual([])
})
