import { useMutation } from '@tanstack/react-query'
import { type ReactNode, useState } from 'react'
import { call, type Endpoint } from '../api'
import { Failure, Field } from '../kit'

const EXAMPLES: Record<string, unknown> = {
  'llm/v1/chat': { messages: [{ role: 'user', content: 'What is a gateway?' }], max_tokens: 64 },
  'llm/v1/completions': { prompt: 'A gateway is', max_tokens: 64 },
  'llm/v1/embeddings': { input: 'What is a gateway?' },
}

export function Query({ endpoint }: { endpoint: Endpoint }): ReactNode {
  const example = EXAMPLES[endpoint.task ?? ''] ?? { dataframe_split: { columns: [], data: [] } }
  const [text, setText] = useState(JSON.stringify(example, null, 2))
  const query = useMutation({
    mutationFn: async () => {
      const body = JSON.parse(text) as Record<string, unknown>
      if (body.stream === true) throw new Error('This box shows whole answers: leave "stream" out.')
      return call('POST', `serving-endpoints/${encodeURIComponent(endpoint.name)}/invocations`, body)
    },
  })
  return (
    <form onSubmit={(event) => { event.preventDefault(); query.mutate() }}>
      <Failure error={query.error} />
      <div className="columns">
        <Field label="Request"><textarea rows={14} spellCheck={false} value={text} onChange={(event) => setText(event.target.value)} /></Field>
        <Field label="Response"><textarea rows={14} readOnly aria-live="polite" value={query.data === undefined ? '' : JSON.stringify(query.data, null, 2)} /></Field>
      </div>
      <button className="primary" type="submit" disabled={query.isPending}>{query.isPending ? 'Waiting …' : 'Send request'}</button>
    </form>
  )
}
