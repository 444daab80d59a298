import type { ReactNode } from 'react'
import { Check, Field } from '../../kit'
import type { AiGateway } from '../../types'

type Table = NonNullable<AiGateway['inference_table_config']>

/** Whether requests and answers are recorded, and where. */
export function PayloadTable({ table, onChange }: { table: Table; onChange: (table: Table) => void }): ReactNode {
  const field = (label: string, name: 'catalog_name' | 'schema_name' | 'table_name_prefix', help = ''): ReactNode => (
    <Field label={label} help={help}><input required={help === ''} maxLength={128} autoComplete="off" value={table[name] ?? ''} onChange={(event) => onChange({ ...table, [name]: event.target.value })} /></Field>
  )
  return (
    <>
      <Check label="Record requests and answers in a payload table" checked={table.enabled ?? false} onChange={(enabled) => onChange({ ...table, enabled })} />
      {table.enabled && (
        <div className="columns">
          {field('Catalog', 'catalog_name')}
          {field('Schema', 'schema_name')}
          {field('Begin of the table’s name', 'table_name_prefix', 'Empty: the endpoint’s name.')}
        </div>
      )}
    </>
  )
}
