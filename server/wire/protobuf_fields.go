package wire

import "github.com/dsproxy/dsproxy/server/message"

// field names one field of a Message for the tables of the protobuf protocol.
type field uint8

const (
	none field = iota
	fAction
	fData
	fCorrelationID
	fIsError
	fIsAck
	fName
	fNames
	fSubscription
	fOriginalTopic
	fOriginalAction
	fIsWriteAck
	fPath
	fVersion
	fVersions
	fRequestorName
	fRequestorData
	fURL
	fProtocolVersion
	fSDKVersion
	fSDKType
)

// maxField is above every field number that the protocol uses.
const maxField = 16

// protoFields gives, for each topic, the meaning of each field number. The
// encoder walks a row in order, so fields leave in ascending order.
var protoFields = [12][maxField]field{
	message.Parser: {1: fAction, 2: fData, 8: fOriginalTopic, 9: fOriginalAction},
	message.Connection: {1: fAction, 2: fData, 3: fIsError, 4: fIsAck, 5: fURL, 6: fProtocolVersion,
		7: fSDKVersion, 8: fSDKType},
	message.Auth: {1: fAction, 2: fData, 3: fIsError, 4: fIsAck},
	message.Event: {1: fAction, 2: fData, 3: fCorrelationID, 4: fIsError, 5: fIsAck, 6: fName, 7: fNames,
		8: fSubscription, 10: fOriginalTopic, 11: fOriginalAction},
	message.Record: {1: fAction, 2: fData, 3: fCorrelationID, 4: fIsError, 5: fIsAck, 6: fName, 7: fNames,
		9: fSubscription, 10: fOriginalAction, 11: fIsWriteAck, 12: fPath, 13: fVersion, 14: fVersions},
	message.RPC: {1: fAction, 2: fData, 3: fCorrelationID, 4: fIsError, 5: fIsAck, 6: fNames, 7: fName,
		9: fOriginalAction, 10: fRequestorName, 11: fRequestorData},
	message.Presence: {1: fAction, 2: fOriginalTopic, 3: fOriginalAction, 4: fData, 5: fCorrelationID,
		6: fIsError, 7: fIsAck, 8: fName, 9: fNames},
	message.Monitoring: {1: fAction, 2: fData, 3: fCorrelationID, 4: fIsError, 5: fIsAck},
}
