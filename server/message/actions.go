package message

// Action is the second level of a message's meaning; its numbers belong to a
// topic and are those of the protobuf protocol.
type Action uint8

// TextOnly is the first of the actions that only the text protocols have.
const TextOnly Action = 200

// The actions of topic Parser.
const (
	ParserUnknownTopic               Action = 1
	ParserUnknownAction              Action = 2
	ParserInvalidMessage             Action = 3
	ParserMessageParseError          Action = 4
	ParserMaximumMessageSizeExceeded Action = 5
	ParserError                      Action = 6
	ParserInvalidMetaParams          Action = 7
)

// The actions of topic Connection.
const (
	ConnectionError                 Action = 1
	ConnectionPing                  Action = 2
	ConnectionPong                  Action = 3
	ConnectionAccept                Action = 4
	ConnectionChallenge             Action = 5
	ConnectionReject                Action = 6
	ConnectionRedirect              Action = 7
	ConnectionClosing               Action = 8
	ConnectionClosed                Action = 9
	ConnectionAuthenticationTimeout Action = 100
	ConnectionInvalidMessage        Action = 101
)

// The actions of topic Auth.
const (
	AuthError               Action = 1
	AuthRequest             Action = 2
	AuthSuccessful          Action = 3
	AuthUnsuccessful        Action = 4
	AuthTooManyAuthAttempts Action = 100
	AuthInvalidMessage      Action = 101
	AuthInvalidMessageData  Action = 102
)

// The actions of topic Event.
const (
	EventError                         Action = 1
	EventEmit                          Action = 2
	EventSubscribe                     Action = 3
	EventUnsubscribe                   Action = 4
	EventListen                        Action = 5
	EventUnlisten                      Action = 6
	EventListenAccept                  Action = 7
	EventListenReject                  Action = 8
	EventSubscriptionHasProvider       Action = 9
	EventSubscriptionHasNoProvider     Action = 10
	EventSubscriptionForPatternFound   Action = 11
	EventSubscriptionForPatternRemoved Action = 12
	EventInvalidListenRegex            Action = 100
	EventListenResponseTimeout         Action = 101
	EventListenUnsuccessful            Action = 102
	EventMessagePermissionError        Action = 103
	EventMessageDenied                 Action = 104
	EventInvalidMessageData            Action = 105
	EventMultipleSubscriptions         Action = 106
	EventNotSubscribed                 Action = 107
)

// The actions of topic Record.
const (
	RecordError                         Action = 1
	RecordNotify                        Action = 2
	RecordRead                          Action = 3
	RecordReadResponse                  Action = 4
	RecordHead                          Action = 5
	RecordHeadResponse                  Action = 6
	RecordHeadBulk                      Action = 7
	RecordHeadResponseBulk              Action = 8
	RecordDelete                        Action = 9
	RecordDeleteSuccess                 Action = 10
	RecordDeleteBulk                    Action = 11
	RecordDeleteBulkSuccess             Action = 12
	RecordDeleted                       Action = 13
	RecordWriteAcknowledgement          Action = 14
	RecordCreate                        Action = 15
	RecordCreateAndUpdate               Action = 16
	RecordCreateAndPatch                Action = 17
	RecordUpdate                        Action = 18
	RecordPatch                         Action = 19
	RecordErase                         Action = 20
	RecordSubscribeAndHead              Action = 21
	RecordSubscribeAndRead              Action = 22
	RecordSubscribeCreateAndRead        Action = 23
	RecordSubscribeCreateAndUpdate      Action = 24
	RecordSubscribe                     Action = 25
	RecordUnsubscribe                   Action = 26
	RecordListen                        Action = 27
	RecordUnlisten                      Action = 28
	RecordListenAccept                  Action = 29
	RecordListenReject                  Action = 30
	RecordSubscriptionHasProvider       Action = 31
	RecordSubscriptionHasNoProvider     Action = 32
	RecordSubscriptionForPatternFound   Action = 33
	RecordSubscriptionForPatternRemoved Action = 34
	RecordPatchMulti                    Action = 35
	RecordCacheRetrievalTimeout         Action = 100
	RecordStorageRetrievalTimeout       Action = 101
	RecordVersionExists                 Action = 102
	RecordLoadError                     Action = 103
	RecordCreateError                   Action = 104
	RecordUpdateError                   Action = 105
	RecordDeleteError                   Action = 106
	RecordNotFound                      Action = 107
	RecordInvalidVersion                Action = 108
	RecordInvalidPatchOnHotpath         Action = 109
	RecordInvalidListenRegex            Action = 110
	RecordListenResponseTimeout         Action = 111
	RecordListenUnsuccessful            Action = 112
	RecordNotifyError                   Action = 113
	RecordMessagePermissionError        Action = 114
	RecordMessageDenied                 Action = 115
	RecordInvalidMessageData            Action = 116
	RecordMultipleSubscriptions         Action = 117
	RecordNotSubscribed                 Action = 118
	RecordHas                           Action = 200
)

// The actions of topic RPC.
const (
	RPCError                   Action = 1
	RPCRequest                 Action = 2
	RPCAccept                  Action = 4
	RPCResponse                Action = 5
	RPCReject                  Action = 6
	RPCRequestError            Action = 7
	RPCProvide                 Action = 8
	RPCUnprovide               Action = 9
	RPCNoRPCProvider           Action = 100
	RPCAcceptTimeout           Action = 101
	RPCMultipleAccept          Action = 102
	RPCInvalidRPCCorrelationID Action = 103
	RPCResponseTimeout         Action = 104
	RPCMultipleResponse        Action = 105
	RPCMessagePermissionError  Action = 106
	RPCMessageDenied           Action = 107
	RPCInvalidMessageData      Action = 108
	RPCMultipleProviders       Action = 109
	RPCNotProvided             Action = 110
)

// The actions of topic Presence.
const (
	PresenceError                  Action = 1
	PresenceQueryAll               Action = 2
	PresenceQueryAllResponse       Action = 3
	PresenceQuery                  Action = 4
	PresenceQueryResponse          Action = 5
	PresenceJoin                   Action = 6
	PresenceJoinAll                Action = 7
	PresenceLeave                  Action = 8
	PresenceLeaveAll               Action = 9
	PresenceSubscribe              Action = 10
	PresenceUnsubscribe            Action = 11
	PresenceSubscribeAll           Action = 12
	PresenceUnsubscribeAll         Action = 13
	PresenceInvalidPresenceUsers   Action = 100
	PresenceMessagePermissionError Action = 101
	PresenceMessageDenied          Action = 102
	PresenceMultipleSubscriptions  Action = 103
	PresenceNotSubscribed          Action = 104
)

// actionNames holds the words of the original for error texts and logs.
var actionNames = [topics]map[Action]string{
	Parser: {
		ParserUnknownTopic:               "UNKNOWN_TOPIC",
		ParserUnknownAction:              "UNKNOWN_ACTION",
		ParserInvalidMessage:             "INVALID_MESSAGE",
		ParserMessageParseError:          "MESSAGE_PARSE_ERROR",
		ParserMaximumMessageSizeExceeded: "MAXIMUM_MESSAGE_SIZE_EXCEEDED",
		ParserError:                      "ERROR",
		ParserInvalidMetaParams:          "INVALID_META_PARAMS",
	},
	Connection: {
		ConnectionError:                 "ERROR",
		ConnectionPing:                  "PING",
		ConnectionPong:                  "PONG",
		ConnectionAccept:                "ACCEPT",
		ConnectionChallenge:             "CHALLENGE",
		ConnectionReject:                "REJECT",
		ConnectionRedirect:              "REDIRECT",
		ConnectionClosing:               "CLOSING",
		ConnectionClosed:                "CLOSED",
		ConnectionAuthenticationTimeout: "AUTHENTICATION_TIMEOUT",
		ConnectionInvalidMessage:        "INVALID_MESSAGE",
	},
	Auth: {
		AuthError:               "ERROR",
		AuthRequest:             "REQUEST",
		AuthSuccessful:          "AUTH_SUCCESSFUL",
		AuthUnsuccessful:        "AUTH_UNSUCCESSFUL",
		AuthTooManyAuthAttempts: "TOO_MANY_AUTH_ATTEMPTS",
		AuthInvalidMessage:      "INVALID_MESSAGE",
		AuthInvalidMessageData:  "INVALID_MESSAGE_DATA",
	},
	Event: {
		EventError:                         "ERROR",
		EventEmit:                          "EMIT",
		EventSubscribe:                     "SUBSCRIBE",
		EventUnsubscribe:                   "UNSUBSCRIBE",
		EventListen:                        "LISTEN",
		EventUnlisten:                      "UNLISTEN",
		EventListenAccept:                  "LISTEN_ACCEPT",
		EventListenReject:                  "LISTEN_REJECT",
		EventSubscriptionHasProvider:       "SUBSCRIPTION_HAS_PROVIDER",
		EventSubscriptionHasNoProvider:     "SUBSCRIPTION_HAS_NO_PROVIDER",
		EventSubscriptionForPatternFound:   "SUBSCRIPTION_FOR_PATTERN_FOUND",
		EventSubscriptionForPatternRemoved: "SUBSCRIPTION_FOR_PATTERN_REMOVED",
		EventInvalidListenRegex:            "INVALID_LISTEN_REGEX",
		EventListenResponseTimeout:         "LISTEN_RESPONSE_TIMEOUT",
		EventListenUnsuccessful:            "LISTEN_UNSUCCESSFUL",
		EventMessagePermissionError:        "MESSAGE_PERMISSION_ERROR",
		EventMessageDenied:                 "MESSAGE_DENIED",
		EventInvalidMessageData:            "INVALID_MESSAGE_DATA",
		EventMultipleSubscriptions:         "MULTIPLE_SUBSCRIPTIONS",
		EventNotSubscribed:                 "NOT_SUBSCRIBED",
	},
	Record: {
		RecordError:                         "ERROR",
		RecordNotify:                        "NOTIFY",
		RecordRead:                          "READ",
		RecordReadResponse:                  "READ_RESPONSE",
		RecordHead:                          "HEAD",
		RecordHeadResponse:                  "HEAD_RESPONSE",
		RecordHeadBulk:                      "HEAD_BULK",
		RecordHeadResponseBulk:              "HEAD_RESPONSE_BULK",
		RecordDelete:                        "DELETE",
		RecordDeleteSuccess:                 "DELETE_SUCCESS",
		RecordDeleteBulk:                    "DELETE_BULK",
		RecordDeleteBulkSuccess:             "DELETE_BULK_SUCCESS",
		RecordDeleted:                       "DELETED",
		RecordWriteAcknowledgement:          "WRITE_ACKNOWLEDGEMENT",
		RecordCreate:                        "CREATE",
		RecordCreateAndUpdate:               "CREATEANDUPDATE",
		RecordCreateAndPatch:                "CREATEANDPATCH",
		RecordUpdate:                        "UPDATE",
		RecordPatch:                         "PATCH",
		RecordErase:                         "ERASE",
		RecordSubscribeAndHead:              "SUBSCRIBEANDHEAD",
		RecordSubscribeAndRead:              "SUBSCRIBEANDREAD",
		RecordSubscribeCreateAndRead:        "SUBSCRIBECREATEANDREAD",
		RecordSubscribeCreateAndUpdate:      "SUBSCRIBECREATEANDUPDATE",
		RecordSubscribe:                     "SUBSCRIBE",
		RecordUnsubscribe:                   "UNSUBSCRIBE",
		RecordListen:                        "LISTEN",
		RecordUnlisten:                      "UNLISTEN",
		RecordListenAccept:                  "LISTEN_ACCEPT",
		RecordListenReject:                  "LISTEN_REJECT",
		RecordSubscriptionHasProvider:       "SUBSCRIPTION_HAS_PROVIDER",
		RecordSubscriptionHasNoProvider:     "SUBSCRIPTION_HAS_NO_PROVIDER",
		RecordSubscriptionForPatternFound:   "SUBSCRIPTION_FOR_PATTERN_FOUND",
		RecordSubscriptionForPatternRemoved: "SUBSCRIPTION_FOR_PATTERN_REMOVED",
		RecordPatchMulti:                    "PATCH_MULTI",
		RecordCacheRetrievalTimeout:         "CACHE_RETRIEVAL_TIMEOUT",
		RecordStorageRetrievalTimeout:       "STORAGE_RETRIEVAL_TIMEOUT",
		RecordVersionExists:                 "VERSION_EXISTS",
		RecordLoadError:                     "RECORD_LOAD_ERROR",
		RecordCreateError:                   "RECORD_CREATE_ERROR",
		RecordUpdateError:                   "RECORD_UPDATE_ERROR",
		RecordDeleteError:                   "RECORD_DELETE_ERROR",
		RecordNotFound:                      "RECORD_NOT_FOUND",
		RecordInvalidVersion:                "INVALID_VERSION",
		RecordInvalidPatchOnHotpath:         "INVALID_PATCH_ON_HOTPATH",
		RecordInvalidListenRegex:            "INVALID_LISTEN_REGEX",
		RecordListenResponseTimeout:         "LISTEN_RESPONSE_TIMEOUT",
		RecordListenUnsuccessful:            "LISTEN_UNSUCCESSFUL",
		RecordNotifyError:                   "RECORD_NOTIFY_ERROR",
		RecordMessagePermissionError:        "MESSAGE_PERMISSION_ERROR",
		RecordMessageDenied:                 "MESSAGE_DENIED",
		RecordInvalidMessageData:            "INVALID_MESSAGE_DATA",
		RecordMultipleSubscriptions:         "MULTIPLE_SUBSCRIPTIONS",
		RecordNotSubscribed:                 "NOT_SUBSCRIBED",
		RecordHas:                           "HAS",
	},
	RPC: {
		RPCError:                   "ERROR",
		RPCRequest:                 "REQUEST",
		RPCAccept:                  "ACCEPT",
		RPCResponse:                "RESPONSE",
		RPCReject:                  "REJECT",
		RPCRequestError:            "REQUEST_ERROR",
		RPCProvide:                 "PROVIDE",
		RPCUnprovide:               "UNPROVIDE",
		RPCNoRPCProvider:           "NO_RPC_PROVIDER",
		RPCAcceptTimeout:           "ACCEPT_TIMEOUT",
		RPCMultipleAccept:          "MULTIPLE_ACCEPT",
		RPCInvalidRPCCorrelationID: "INVALID_RPC_CORRELATION_ID",
		RPCResponseTimeout:         "RESPONSE_TIMEOUT",
		RPCMultipleResponse:        "MULTIPLE_RESPONSE",
		RPCMessagePermissionError:  "MESSAGE_PERMISSION_ERROR",
		RPCMessageDenied:           "MESSAGE_DENIED",
		RPCInvalidMessageData:      "INVALID_MESSAGE_DATA",
		RPCMultipleProviders:       "MULTIPLE_PROVIDERS",
		RPCNotProvided:             "NOT_PROVIDED",
	},
	Presence: {
		PresenceError:                  "ERROR",
		PresenceQueryAll:               "QUERY_ALL",
		PresenceQueryAllResponse:       "QUERY_ALL_RESPONSE",
		PresenceQuery:                  "QUERY",
		PresenceQueryResponse:          "QUERY_RESPONSE",
		PresenceJoin:                   "PRESENCE_JOIN",
		PresenceJoinAll:                "PRESENCE_JOIN_ALL",
		PresenceLeave:                  "PRESENCE_LEAVE",
		PresenceLeaveAll:               "PRESENCE_LEAVE_ALL",
		PresenceSubscribe:              "SUBSCRIBE",
		PresenceUnsubscribe:            "UNSUBSCRIBE",
		PresenceSubscribeAll:           "SUBSCRIBE_ALL",
		PresenceUnsubscribeAll:         "UNSUBSCRIBE_ALL",
		PresenceInvalidPresenceUsers:   "INVALID_PRESENCE_USERS",
		PresenceMessagePermissionError: "MESSAGE_PERMISSION_ERROR",
		PresenceMessageDenied:          "MESSAGE_DENIED",
		PresenceMultipleSubscriptions:  "MULTIPLE_SUBSCRIPTIONS",
		PresenceNotSubscribed:          "NOT_SUBSCRIBED",
	},
}

// ActionName returns the word of an action, or "" where the topic has no such
// action.
func ActionName(t Topic, a Action) string {
	if int(t) >= len(actionNames) {
		return ""
	}
	return actionNames[t][a]
}
