/** Limits of the worker wire that this side keeps; a test keeps them equal to spec/limits.md. */
export const limits = {
  head_bytes_max: 262_144,
  attachment_bytes_max: 262_144,
  handshake_head_bytes_max: 4_096,
  handshake_attachment_bytes_max: 64,
  handshake_ms_max: 5_000,
  in_flight_max: 1_024,
  endpoints_max: 1_000,
  endpoint_bytes_max: 1_024,
  segments_max: 64,
  timeout_ms_max: 300_000,
  reply_headers_max: 100,
  reply_header_bytes_max: 65_536,
  stream_window_bytes: 262_144,
  bad_heads_max: 3,
  unknown_replies_max: 100,
  call_headers_max: 100,
  call_header_bytes_max: 16_384,
  request_target_bytes_max: 8_192,
  json_depth_max: 64,
} as const;

/** What an endpoint gets that says nothing about its body (P-28). */
export const BODY_BYTES_DEFAULT = 1_048_576;

/** A worker that got no frame for so long closes and dials again (P-26). */
export const SILENCE_MS_MAX = 8_000;

/** A remote call that has no answer so long after its deadline is given up (P-56). */
export const ANSWER_MS_MAX = 500;
