/** What the tokens of models cost, and which models have no price. */
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { type ReactNode, useState } from 'react'
import { type ApiRequest, get, query, run } from '../api'
import { count, when } from '../format'
import { Confirm, Dialog, Empty, Failure, Field, Head, Loading, Table } from '../kit'
import { CopyAs } from '../kit/CopyAs'
import type { UsageTotal } from '../types'
import type { Price } from './playground/cost'

const PATH = '/api/2.0/prices'
const MONTH = 30 * 86_400_000

interface Prices { prices?: Price[] }

const keyOf = ({ provider, model, from_time: from = 0 }: Price): string => JSON.stringify([provider, model, from])
const since = ({ from_time: from }: Price): string => (from ? `from ${when(from)} on` : 'since ever')

/** Change one price: the others are what they are when it is sent, whatever this page has shown. */
async function change(gone: Price | null, added: Price | null): Promise<Prices> {
  const { prices = [] } = await get<Prices>(PATH)
  return await run<Prices>(changing(prices, gone, added))
}

function changing(prices: readonly Price[], gone: Price | null, added: Price | null): ApiRequest {
  const away = [gone, added].flatMap((price) => (price === null ? [] : [keyOf(price)]))
  const rest = prices.filter((price) => !away.includes(keyOf(price)))
  return { method: 'PUT', path: PATH, body: { prices: added === null ? rest : [...rest, added] } }
}

export function PricesPage(): ReactNode {
  const prices = useQuery({ queryKey: ['prices'], queryFn: () => get<Prices>(PATH) })
  const [edited, setEdited] = useState<Partial<Price> | null>(null)
  const [going, setGoing] = useState<Price | null>(null)
  const found = prices.data?.prices ?? []
  const currency = found[0]?.currency ?? 'USD'
  return (
    <>
      <Head crumbs={[['Usage', '/usage']]} title="Prices">
        <CopyAs request={{ method: 'PUT', path: PATH, body: { prices: found } }} />
        <button type="button" className="primary" disabled={!prices.data} onClick={() => setEdited({ currency })}>Add a price</button>
      </Head>
      <p className="muted">Of a million tokens. A price holds until the next one of its model begins: add one for what changes, and the costs of before stay.</p>
      <Failure error={prices.error} />
      {prices.isPending && !prices.error && <Loading />}
      {prices.data && found.length === 0 && <Empty title="Nothing has a price.">Usage tells tokens alone until it has.</Empty>}
      {found.length > 0 && (
        <Table label="Prices" rows={found} id={keyOf} columns={[
          { title: 'Model', cell: ({ model, provider }) => <><strong>{model}</strong> <span className="muted">{provider}</span></> },
          { title: 'Input', number: true, cell: (price) => price.input_per_million },
          { title: 'Cached', number: true, cell: (price) => price.cached_input_per_million ?? '–' },
          { title: 'Output', number: true, cell: (price) => price.output_per_million },
          { title: 'Currency', cell: (price) => price.currency },
          { title: 'Holds', cell: since },
          {
            title: '',
            narrow: true,
            cell: (price) => (
              <div className="row-actions">
                <button type="button" className="small" aria-label={`Edit the price of ${price.model} ${since(price)}`} onClick={() => setEdited(price)}>Edit</button>
                <button type="button" className="small" aria-label={`Delete the price of ${price.model} ${since(price)}`} onClick={() => setGoing(price)}>Delete</button>
              </div>
            ),
          },
        ]} />
      )}
      {prices.data && <Unpriced onChoose={(model) => setEdited({ ...model, currency })} />}
      {edited && <Edit price={edited} known={found} onClose={() => setEdited(null)} />}
      {going && <Delete price={going} known={found} onClose={() => setGoing(null)} />}
    </>
  )
}

/** Models that were used without a price, which one click begins to give one. */
function Unpriced({ onChoose }: { onChoose: (model: { provider: string; model: string }) => void }): ReactNode {
  // Whole minutes, so that the same question is asked again and again.
  const [until] = useState(() => Math.ceil(Date.now() / 60_000) * 60_000)
  const used = useQuery({
    queryKey: ['usage', 'unpriced', until],
    queryFn: () => get<{ totals?: UsageTotal[] }>(`/api/2.0/usage${query({ group_by: 'provider,model', start_time: until - MONTH, end_time: until })}`),
  })
  const rows = (used.data?.totals ?? []).filter(({ unpriced_requests: unpriced, model }) => (unpriced ?? 0) > 0 && model !== '')
  return (
    <>
      <Failure error={used.error} />
      {rows.length > 0 && (
        <section>
          <h2>Used without a price in 30 days</h2>
          <Table label="Models without a price" rows={rows} id={(row) => `${String(row.provider)} ${String(row.model)}`} columns={[
            { title: 'Model', cell: (row) => <><strong>{String(row.model)}</strong> <span className="muted">{String(row.provider)}</span></> },
            { title: 'Requests', number: true, cell: (row) => count(row.unpriced_requests) },
            { title: '', narrow: true, cell: (row) => <button type="button" className="small" aria-label={`Set a price of ${String(row.model)}`} onClick={() => onChoose({ provider: String(row.provider), model: String(row.model) })}>Set a price</button> },
          ]} />
        </section>
      )}
    </>
  )
}

function Edit({ price, known, onClose }: { price: Partial<Price>; known: readonly Price[]; onClose: () => void }): ReactNode {
  const before = known.find((one) => price.input_per_million !== undefined && keyOf(one) === keyOf(price as Price)) ?? null
  const [values, setValues] = useState(price)
  const queries = useQueryClient()
  const save = useMutation({
    mutationFn: () => change(before, priceOf(values)),
    onSuccess: async () => {
      await queries.invalidateQueries({ queryKey: ['prices'] })
      await queries.invalidateQueries({ queryKey: ['usage'] })
      onClose()
    },
  })
  const set = (next: Partial<Price>): void => setValues({ ...values, ...next })
  const text = (name: 'provider' | 'model' | 'input_per_million' | 'output_per_million' | 'cached_input_per_million' | 'currency') => ({
    autoComplete: 'off', value: values[name] ?? '', onChange: (event: { target: { value: string } }) => set({ [name]: event.target.value }),
  })
  return (
    <Dialog title={before === null ? 'Add a price' : 'Edit a price'} wide onClose={onClose}>
      <form onSubmit={(event) => { event.preventDefault(); save.mutate() }}>
        <Failure error={save.error} />
        <Field label="Provider" required help="As in the served entity; hosted: the model is hosted here."><input {...text('provider')} /></Field>
        <Field label="Model" required><input {...text('model')} /></Field>
        <div className="columns">
          <Field label="Input" required><input inputMode="decimal" placeholder="2.50" {...text('input_per_million')} /></Field>
          <Field label="Cached input" required={false}><input inputMode="decimal" {...text('cached_input_per_million')} /></Field>
          <Field label="Output" required><input inputMode="decimal" placeholder="10" {...text('output_per_million')} /></Field>
          <Field label="Currency" required><input {...text('currency')} /></Field>
        </div>
        <Field label="From" required={false} help="The start of an hour; empty: since ever.">
          <input type="datetime-local" step={3600} value={local(values.from_time)} onChange={(event) => set({ from_time: event.target.value === '' ? 0 : new Date(event.target.value).getTime() })} />
        </Field>
        <div className="dialog-foot">
          <CopyAs request={changing(known, before, priceOf(values))} />
          <button type="button" onClick={onClose}>Cancel</button>
          <button type="submit" className="primary" disabled={save.isPending}>Save</button>
        </div>
      </form>
    </Dialog>
  )
}

/** A price as the API takes it: without what was left empty. */
function priceOf({ provider = '', model = '', input_per_million: input = '', output_per_million: output = '', cached_input_per_million: cached, currency = '', from_time: from }: Partial<Price>): Price {
  return {
    provider: provider.trim(), model: model.trim(), input_per_million: input.trim(), output_per_million: output.trim(), currency: currency.trim(),
    ...(cached?.trim() ? { cached_input_per_million: cached.trim() } : {}),
    ...(from ? { from_time: from } : {}),
  }
}

/** A time as the control for times has it: of this place, without a zone. */
function local(time: number | undefined): string {
  if (!time) return ''
  const date = new Date(time)
  return new Date(time - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 16)
}

function Delete({ price, known, onClose }: { price: Price; known: readonly Price[]; onClose: () => void }): ReactNode {
  const queries = useQueryClient()
  const remove = useMutation({
    mutationFn: () => change(price, null),
    onSuccess: async () => {
      await queries.invalidateQueries({ queryKey: ['prices'] })
      await queries.invalidateQueries({ queryKey: ['usage'] })
      onClose()
    },
  })
  return (
    <Confirm title={`Delete the price of ${price.model}?`} action="Delete" request={changing(known, price, null)} error={remove.error} busy={remove.isPending} onConfirm={() => remove.mutate()} onClose={onClose}>
      <p>What was used {since(price)} costs what the price before it says, or nothing is known of it.</p>
    </Confirm>
  )
}
