/**
 * Legacy Streamable HTTP sessions: one server object and one transport per `initialize`.
 *
 * Every event is kept for as long as its session lives, so a client may come back with `Last-Event-ID` at any time:
 * what the suite's polling scenario needs. Nothing is persisted and nothing expires.
 */

import { randomUUID } from 'node:crypto';

import { NodeStreamableHTTPServerTransport } from '@modelcontextprotocol/node';
import { isInitializeRequest } from '@modelcontextprotocol/server';

/** What a client is told to wait before it comes back to a stream that was closed on it, in milliseconds. */
const RETRY_MS = 500;

export class LegacySessions {
  #build;
  #sessions = new Map();

  /** @param {() => import('@modelcontextprotocol/server').McpServer} build makes the server of one session */
  constructor(build) {
    this.#build = build;
  }

  /** Tells every open session that one of its lists changed. */
  announce(change) {
    for (const { server } of this.#sessions.values()) {
      if (change === 'tools') server.sendToolListChanged();
      else server.sendPromptListChanged();
    }
  }

  async handle(request, response, body) {
    const id = request.headers['mcp-session-id'];
    if (id !== undefined) {
      const session = this.#sessions.get(id);
      if (session === undefined) return refuse(response, 404, -32001, 'Session not found');
      return session.transport.handleRequest(request, response, body);
    }
    if (!isInitializeRequest(body)) return refuse(response, 400, -32000, 'Bad Request: Server not initialized');
    const transport = await this.#open();
    return transport.handleRequest(request, response, body);
  }

  async #open() {
    const server = this.#build();
    const transport = new NodeStreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID,
      eventStore: new EventLog(),
      retryInterval: RETRY_MS,
      onsessioninitialized: id => void this.#sessions.set(id, { server, transport }),
      onsessionclosed: id => void this.#sessions.delete(id),
    });
    await server.connect(transport);
    return transport;
  }
}

/** Answers with a JSON-RPC error that belongs to no request, as old servers do. */
export function refuse(response, status, code, message) {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify({ jsonrpc: '2.0', error: { code, message }, id: null }));
}

/** The events of one session, in order; an event id is `stream/position`. */
class EventLog {
  #events = [];

  async storeEvent(stream, message) {
    this.#events.push({ stream, message });
    return `${stream}/${this.#events.length - 1}`;
  }

  async getStreamIdForEventId(eventId) {
    return this.#find(eventId)?.stream;
  }

  async replayEventsAfter(lastEventId, { send }) {
    const last = this.#find(lastEventId);
    if (last === undefined) throw new Error(`unknown event ${lastEventId}`);
    for (let position = last.position + 1; position < this.#events.length; position += 1) {
      const { stream, message } = this.#events[position];
      const priming = Object.keys(message).length === 0;
      if (stream === last.stream && !priming) await send(`${stream}/${position}`, message);
    }
    return last.stream;
  }

  #find(eventId) {
    const slash = eventId.lastIndexOf('/');
    const position = Number(eventId.slice(slash + 1));
    const event = this.#events[position];
    return event?.stream === eventId.slice(0, slash) ? { stream: event.stream, position } : undefined;
  }
}
