import { expect, test } from 'vitest'
import { problemOf } from '../src/signInProblem'

const problem = (status: number, message: string, code = 'CODE'): ReturnType<typeof problemOf> => problemOf({ status, code, message })

test('a token that is unknown or has expired is told apart from an owner who is not there', () => {
  const unknown = 'The access token is unknown; check it or ask for a new one.'
  expect(problem(401, unknown)).toMatchObject({ title: unknown, help: expect.stringContaining('page Account') })
  expect(problem(401, unknown)).not.toHaveProperty('user')
  expect(problem(401, 'The access token\'s owner is not active; ask an administrator.')).toMatchObject({ user: 'NAME' })
})

test('whom an issuer knows and nobody else is whom an administrator creates', () => {
  const told = problem(403, '\'ann@x.com\' is no active user here. An administrator creates users on the page Identity, or with POST …')
  expect(told).toMatchObject({ user: 'ann@x.com', title: expect.stringContaining('ann@x.com') })
})

test('who is away is named, and what is not known is left as it was said', () => {
  expect(problem(503, 'The service is not available at the moment; try again.')?.title).toBe('The control plane does not answer.')
  expect(problem(504, 'The server did not answer in time.')?.title).toBe('The control plane does not answer.')
  expect(problem(0, 'Anything.', 'UNREACHABLE')?.title).toBe('The deployment cannot be reached.')
  expect(problem(503, 'login.example.com cannot be asked now: it is away.')).toBeNull()
  expect(problem(0, 'This browser has not asked for that. Sign in again.', 'SIGN_IN')).toBeNull()
  expect(problem(403, 'Only the pages of this deployment may begin a session.')).toBeNull()
})
