// Package tunnel relays the bytes of a connection pair after a 101 Switching
// Protocols (RFC 9110 section 15.2.2): WebSocket and any other Upgrade. It
// knows nothing of HTTP and never touches a frame.
package tunnel
