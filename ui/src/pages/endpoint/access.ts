/** Which grants give somebody a level. Pure. */

export interface Entry {
  user_name?: string
  group_name?: string
  service_principal_name?: string
  display_name?: string
  all_permissions?: { permission_level: string; inherited?: boolean }[]
}

/** Somebody with names of grants and of groups. */
export interface Somebody { names: readonly string[]; groups: readonly string[] }

export interface Reason { level: string; why: string }

// The lowest first.
const LEVELS = ['CAN_VIEW', 'CAN_QUERY', 'CAN_MANAGE']

export function ownLevel(entry: Entry): string | undefined {
  return entry.all_permissions?.find(({ inherited }) => !inherited)?.permission_level
}

/** All that gives somebody a level, what decides first. */
export function reasonsOf(entries: readonly Entry[], { names, groups }: Somebody): Reason[] {
  const found = entries.flatMap((entry) => {
    const { group_name: group } = entry
    const own = entry.user_name ?? entry.service_principal_name ?? ''
    const holds = group === undefined ? names.includes(own) : groups.includes(group)
    const by = group === undefined ? 'by a grant of its own' : `as a member of the group ${group}`
    return !holds ? [] : (entry.all_permissions ?? []).map(({ permission_level: level, inherited }): Reason => ({
      level, why: inherited ? `${by}, which manages every endpoint` : by,
    }))
  })
  return found.sort((one, other) => LEVELS.indexOf(other.level) - LEVELS.indexOf(one.level))
}
