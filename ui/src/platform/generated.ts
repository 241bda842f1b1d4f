// Written by core/installer/src/commands/typescript.rs from the table of commands. Do not edit: change the Rust
// types and run `UPDATE_TYPESCRIPT=1 cargo test -p lowtouch-e2e --test typescript`.

/** What this program is. */
export type About = {
  /** Of this program. */
  version: string,
  /** Who shows the page. */
  host: HostKind,
  /** The system that it runs on: `linux`, `macos`, `windows`. */
  system: string,
  /** Folder of journal, accounts and logs. */
  dataDir: string,
  /** The settings file. */
  settingsFile: string,
  /** Whether the demo's programs are there. */
  demoPossible: boolean, };

/** Names an account. */
export type AccountNamed = {
  /** `NAME@HOST`, as `accounts` has it. */
  name: string, };

/** An account of this machine's user. */
export type AccountSeen = {
  /** `NAME@HOST`; unique on this machine. */
  name: string,
  /** The provisioning API's address. */
  server: string,
  /** The person, as the API knows them. */
  person: string,
  /** What they may do, as the API said last. */
  role: Role,
  /** Whose devices they see; absent: every tenant's. */
  tenant?: string,
  /** When they signed in. */
  signedInAt: string,
  /** They have to sign in again before anything else. */
  signedOut: boolean,
  /** It is the one that is used. */
  current: boolean,
  /** Certificates were added for its server. */
  hasCa: boolean, };

/** All accounts. */
export type AccountsSeen = {
  /** The name of the one that is used. */
  current?: string,
  /** In the order in which they came. */
  all: Array<AccountSeen>, };

/** What the device acknowledged. */
export type Acknowledged = {
  /** SHA-256 in hex of the configuration that was made for the device. */
  digest?: string | null,
  /** The device has staged it with this digest. */
  stagedAt?: string | null,
  /** The commit was about to be sent: from here on the device may have it in force. */
  committingAt?: string | null,
  /** The device has put it in force with this digest. */
  committedAt?: string | null, };

/** What the person with the device can do about an error. */
export type Action = "retry" | "wait" | "sign-in-again" | "grant-permission" | "move-closer" | "press-button" | "check-pop" | "check-label" | "check-link" | "check-wifi" | "check-internet" | "check-clock" | "check-settings" | "free-disk-space" | "update-app" | "update-firmware" | "ask-administrator" | "contact-support" | "nothing";

/** Any devices of a model, not named one by one. */
export type AnyOf = {
  /** The model as the inventory has it; absent: any. */
  model?: string | null,
  /** At most so many devices beside those that are named. */
  atMost: number, };

/** How a device proves itself to DPS. */
export type Attestation = "x509" | "symmetricKey" | "tpm";

/** One check. */
export type Check = {
  /** What it is about. */
  topic: Topic,
  /** How it ended. */
  status: Status,
  /** The stable code: of [`Finding`], or of [`ErrorCode`](crate::ErrorCode) where a call of the same kind would fail with that. */
  code: string,
  /** What that means, for a person. */
  text: string,
  /** What exactly was seen, in plain English. */
  seen?: string | null,
  /** The same, for a page that has words of its own. */
  details?: Array<Seen>,
  /** What to do about it. */
  mend?: string | null,
  /** How long it took. */
  seconds: number, };

/** How the breaker of one endpoint stands, for people and programs. */
export type CircuitReport = {
  /** What is called, without anything secret: `https://provisioning.example.com`. */
  endpoint: string,
  /** How it stands. */
  state: CircuitState,
  /** Failures in a row. */
  failures: number,
  /** Where it is open: milliseconds until it is tried again. */
  againInMs?: number | null, };

/** How a breaker stands. */
export type CircuitState = "closed" | "open" | "half-open";

/** Why a command did not work: an error as a pairing has it, with its words beside it. No secrets. */
export type CommandError = {
  /** What happened and what to do next, in plain English. A page that speaks another language has words of its own. */
  hint: string,
  /** What is wrong with the settings, where it is that; the detail says the same in plain English. */
  setting?: SettingProblem,
  /** The stable code. */
  code: ErrorCode,
  /** What to do about it. */
  action: Action,
  /** The step in which it happened, if a pairing was under way. */
  step?: Step | null,
  /** For support: what exactly was seen. English, no secrets. */
  detail?: string | null,
  /** Seconds after which it makes sense to try again, if the other side said so. */
  retryAfterS?: number | null,
  /** The API's name for the failed call, to be quoted to its operator. */
  requestId?: string | null,
  /** Which role is there and which one is needed, where that is why. */
  missingRole?: MissingRole | null, };

/** One file of a bundle. */
export type Content = {
  /** Its name in the bundle. */
  name: string,
  /** Its length in bytes, unpacked. */
  bytes: number,
  /** What it is. */
  what: string, };

/** How the demo comes up. */
export type DemoEvent = { "event": "part-started",
  /** `azure-emulator-north`, `provisioning-api`, `pump-001` and so on. */
  name: string, } | { "event": "ready",
  /** As `nearby` shows them. */
  devices: Array<NearbyDevice>, } | { "event": "failed",
  /** Why. */
  error: CommandError, };

/** How the demo stands. */
export type DemoSeen = {
  /** How. */
  state: DemoState,
  /** How many devices it has, or will have. */
  devices: number,
  /** Why it failed. */
  error?: CommandError, };

/** How the demo stands. */
export type DemoState = "off" | "starting" | "on" | "failed";

/** `demo_start`. */
export type DemoWith = {
  /** 1 to 32; over HTTP, over a serial line and over simulated Bluetooth in turn. */
  devices: number, };

/** What a device says of itself inside a session. */
export type DeviceIdentity = {
  /** As on the label. */
  registrationId: string,
  /** The device's own word. */
  model: string,
  /** The device's own word. */
  firmware: string,
  /** Best first. */
  attestations: Array<Attestation>,
  /** Where it stands. */
  phase: DevicePhase,
  /** The hand-off in force, if any. */
  activeHandoffId?: string | null,
  /** Somebody owns it. */
  owned: boolean,
  /** Whether the firmware checks the owner's signature. */
  checksOwner: boolean,
  /** Whether it is on a network; `None` when it does not know. */
  onNetwork?: boolean | null, };

/** What a device says of itself. */
export type DeviceInfo = {
  /** The link. */
  link: string,
  /** `prov.ver`. */
  version: string,
  /** `prov.sec_ver`: 0, 1 or 2. */
  security: number,
  /** `prov.sec_patch_ver`. */
  securityPatch: number,
  /** `prov.cap`. */
  capabilities: Array<string>,
  /** `lowtouch.cap`, when the firmware has the `dps-config` endpoint. */
  lowtouch?: Array<string> | null,
  /** From inside the session, when a label was given and the endpoint exists. */
  identity?: DeviceIdentity | null, };

/** `device_info`. */
export type DeviceInfoOf = {
  /** How to reach it. */
  link: string,
  /** Its label: then it also says who it is. */
  labelId?: string, };

/** Where a device stands with its configuration, as `dps-config` says it. */
export type DevicePhase = "empty" | "staged" | "connecting" | "registering" | "assigned" | "failed" | "unknown";

/** What the device said in the end. */
export type DeviceSaid = {
  /** When. */
  at: string,
  /** `assigned` or `failed`. */
  phase: string,
  /** The hub's host name. */
  hub?: string | null,
  /** The hub's name for the device. */
  deviceId?: string | null,
  /** DPS's substatus. */
  substatus?: string | null,
  /** Why it failed: a code of [`ErrorCode`]. */
  code?: string | null,
  /** The device's words. */
  text?: string | null,
  /** The device is on its old configuration again. */
  rolledBack?: boolean | null, };

/** What DPS said of the registration. */
export type DpsSaid = {
  /** When. */
  at: string,
  /** As DPS spells it. */
  status: string,
  /** The hub's host name. */
  hub?: string | null,
  /** The hub's name for the device. */
  deviceId?: string | null, };

/** Why a run ended. */
export type EntryError = {
  /** When. */
  at: string,
  /** A code of [`ErrorCode`]. */
  code: string,
  /** The step. */
  step?: string | null, };

/** Every way in which an operation of this crate can fail. The texts are stable: programs and support rely on them. */
export type ErrorCode = "label-empty" | "label-not-a-label" | "label-incomplete" | "label-unsupported" | "label-is-invite" | "picture-unreadable" | "picture-too-large" | "picture-without-code" | "picture-with-several-codes" | "label-forgotten" | "pairing-forgotten" | "too-many-pairings" | "already-pairing" | "device-not-found" | "link-permission-denied" | "bluetooth-unavailable" | "device-ambiguous" | "link-busy" | "link-unsupported" | "link-lost" | "device-silent" | "device-garbage" | "device-answer-too-long" | "not-a-device" | "dps-config-missing" | "wrong-pop" | "wrong-security-version" | "security-downgrade" | "security-none-refused" | "session-foreign" | "device-closed" | "device-slowed-down" | "session-failed" | "wrong-device" | "registration-id-invalid" | "no-attestation" | "api-not-set" | "api-url-invalid" | "api-not-https" | "api-ca-invalid" | "api-token-missing" | "offline" | "api-unreachable" | "api-timeout" | "api-tls-expired" | "api-tls-foreign" | "api-redirect" | "api-unauthenticated" | "api-forbidden" | "api-not-found" | "device-unknown" | "handoff-conflict" | "not-allocated" | "attestation-mismatch" | "csr-rejected" | "api-request-rejected" | "api-throttled" | "no-instance" | "dps-unavailable" | "api-internal" | "api-answer-invalid" | "api-answer-too-long" | "network-needed" | "wifi-invalid" | "wifi-wrong-password" | "wifi-enterprise" | "wifi-security-differs" | "wifi-not-found" | "wifi-timeout" | "wifi-no-address" | "wifi-reset-needed" | "wifi-scan-failed" | "network-unsupported" | "device-busy" | "not-owner" | "device-too-small" | "device-unsupported" | "credential-refused" | "device-refused" | "digest-mismatch" | "handoff-expired" | "device-storage" | "device-internal" | "endpoint-unreachable" | "endpoint-tls" | "dps-credential" | "dps-not-found" | "dps-disabled" | "dps-assignment-failed" | "dps-throttled" | "device-failed" | "confirm-timeout" | "journal-disk-full" | "journal-not-a-database" | "journal-newer" | "journal-locked" | "journal-permission" | "journal-failed" | "slot-later" | "order-unknown" | "order-not-open" | "journal-no-entry" | "settings-unreadable" | "settings-torn" | "settings-unknown-key" | "settings-invalid" | "settings-secret" | "settings-unwritable" | "override-refused" | "proxy-invalid" | "proxy-unreachable" | "proxy-login" | "proxy-refused" | "proxy-password-missing" | "keyring-no-session" | "keyring-missing" | "keyring-locked" | "keyring-not-set-up" | "keyring-denied" | "keyring-timeout" | "keyring-failed" | "secrets-passphrase-missing" | "secrets-passphrase-wrong" | "secrets-file-damaged" | "secrets-file-busy" | "secrets-file-failed" | "sign-in-unsupported" | "sign-in-not-offered" | "sign-in-metadata-invalid" | "sign-in-unreachable" | "sign-in-refused" | "sign-in-expired" | "sign-in-answer-invalid" | "sign-in-blocked" | "signed-out" | "no-role" | "invite-invalid" | "invite-refused" | "captive-portal" | "account-unknown" | "accounts-unreadable" | "accounts-failed" | "accounts-busy" | "browser-elsewhere" | "command-unknown" | "command-arguments" | "gateway-session-missing" | "gateway-code-wrong" | "gateway-slowed-down" | "gateway-foreign" | "gateway-body-too-long" | "gateway-full" | "file-unwritable" | "demo-not-built" | "demo-failed" | "cancelled" | "internal";

/** What the API gave. */
export type Given = {
  /** When. */
  at: string,
  /** The DPS instance's name. */
  dpsInstance: string,
  /** `0ne…`. */
  idScope: string,
  /** Host or host:port. */
  globalDeviceEndpoint: string,
  /** How the device attests. */
  attestation: Attestation, };

/** One pairing of the journal. */
export type HandoffRef = {
  /** Its hand-off ID. */
  handoffId: string, };

/** Who shows the page. */
export type HostKind = "desktop" | "gateway";

/** `invite_read_picture`. */
export type InvitePicture = {
  /** PNG or JPEG in base64. */
  base64: string, };

/** Where an invite leads. The invite stays here. */
export type InviteSeen = {
  /** Names the invite, for `sign_in`. */
  inviteId: string,
  /** The provisioning API. */
  server: string,
  /** Its host, to be shown. */
  host: string, };

/** `invite_read`. */
export type InviteText = {
  /** `lowtouch:invite#…` */
  text: string, };

/** How many pairings stand how. */
export type JournalCounts = {
  /** However they stand. */
  all: number,
  /** Under way or interrupted. */
  open: number,
  /** Registered. */
  assigned: number,
  /** Failed. */
  failed: number,
  /** Ended, and the API has not been told. */
  untold: number, };

/** A pairing of the journal as a page sees it. */
export type JournalEntry = {
  /** Its label, where it was paired by this process and the label is still known: it can be paired again without a scan. */
  labelId?: string,
  /** The idempotency key of the whole pairing. */
  handoffId: string,
  /** The label's name for the device. */
  name: string,
  /** The link of the last run. */
  link: string,
  /** When the first run began. */
  startedAt: string,
  /** The last write. */
  updatedAt: string,
  /** How often it was run. */
  runs: number,
  /** How it stands. */
  state: State,
  /** As the device said it. */
  registrationId?: string | null,
  /** As the device said it. */
  model?: string | null,
  /** As the device said it. */
  firmware?: string | null,
  /** What the API gave. */
  given?: Given | null,
  /** What the device was sent: what the API gave, unless settings replaced it. */
  sent?: Sent | null,
  /** What the device acknowledged. */
  acknowledged: Acknowledged,
  /** What the device said in the end. */
  deviceSaid?: DeviceSaid | null,
  /** What DPS said, asked through the API. */
  dpsSaid?: DpsSaid | null,
  /** When the API was told how it ended. */
  recordedAt?: string | null,
  /** The last run's error, if it ended in one. */
  error?: EntryError | null, };

/** A page of the journal. */
export type JournalPage = {
  /** Newest first. */
  entries: Array<JournalEntry>,
  /** How many there are on all pages, as they were asked for. */
  total: number,
  /** How many contain the text, each way that they can stand. */
  counts: JournalCounts,
  /** For `before` of the next page; absent: this is the last. */
  next?: string, };

/** `journal`. */
export type JournalQuery = {
  /** At most so many; 500 at most. */
  limit: number,
  /** The hand-off ID of the last entry of the page before. */
  before?: string,
  /** Only those that stand so. */
  state?: Stands,
  /** Only those whose name, registration ID, model, link, DPS instance, hub, device ID or hand-off ID contains this. */
  text?: string, };

/** `label_from_code`. */
export type LabelCode = {
  /** What the device calls itself. */
  name: string,
  /** The code on the label, where it has one. */
  pop?: string,
  /** How it is reached, for example `http://192.168.4.1`. */
  link: string,
  /** The Security 2 user name; ESP-IDF's where there is none. */
  username?: string,
  /** 0, 1 or 2; 2 where there is a code, else 1. */
  security?: number, };

/** `label_read_picture`. */
export type LabelPicture = {
  /** PNG or JPEG in base64. */
  base64: string, };

/** A label as the page sees it. */
export type LabelSeen = {
  /** Names the label from here on. */
  labelId: string,
  /** What the device calls itself. */
  name: string,
  /** `ble`, `softap`, `serial` or something that this version does not know. */
  transport?: string,
  /** 0, 1 or 2. */
  security: number,
  /** Whether it has a code (PoP). */
  hasPop: boolean,
  /** Which network the device wants: `wifi` or `thread`. */
  network: string,
  /** How it would be reached; absent where the label does not say. */
  link?: string,
  /** A pairing of this name that was interrupted, which the next one finishes. */
  unfinished?: Unfinished, };

/** `label_read`. */
export type LabelText = {
  /** What the QR code holds. */
  text: string, };

/** Something that is not in a bundle, and why. `Display` says it in plain English; a page words it in its own language. */
export type LeftOut = { "what": "secrets" } | { "what": "keyring" } | { "what": "devices" } | { "what": "report" } | { "what": "settings" } | { "what": "no-journal" } | { "what": "journal",
  /** Why it cannot be read. */
  code: ErrorCode, } | { "what": "log",
  /** Its name. */
  name: string,
  /** Why it cannot be read, as the system says it. */
  why: string, };

/** Where a device stands in its life. */
export type Lifecycle = "expected" | "allocated" | "assigned" | "failed" | "decommissioned";

/** A zip file for support. */
export type LogsBundle = {
  /** What to call it. */
  fileName: string,
  /** Its bytes in base64. */
  base64: string,
  /** What is in it. */
  contents: Array<Content>,
  /** What is not in it, and why. */
  leftOut: Array<LeftOut>, };

/** Who is signed in, what they may do, and what was needed. */
export type MissingRole = {
  /** As the API knows them. */
  person: string,
  /** The role that is there, for example `auditor`. */
  has: string,
  /** The role that is needed, for example `installer`. */
  needs: string, };

/** Something in reach. */
export type NearbyDevice = {
  /** How it is reached, for `pairing_start`. */
  link: string,
  /** What it calls itself; of a serial port what the system knows of it. Chosen by whoever made it: any text. */
  name?: string,
  /** Of the radio. */
  address?: string,
  /** Signal strength in dBm. */
  rssi?: number,
  /** `protocomm` (what Lowtouch pairs), `improv`, `smp`, `serial-port` or `unknown`. */
  kind: string,
  /** Whether it has been provisioned, where that is known. */
  provisioned?: boolean,
  /** Where it was found. */
  via: Via,
  /** Whether it can be used now. */
  usable: Usable,
  /** Its label, where that is known: the demo's devices. */
  labelId?: string,
  /** The Wi-Fi that it needs, where that is known: the demo's devices. */
  wifi?: NearbyWifi, };

/** What is in reach. */
export type NearbySeen = {
  /** Those that can be paired first, then the strongest. */
  devices: Array<NearbyDevice>,
  /** Where is looked, and whether that can be done. */
  sources: Array<NearbySource>, };

/** A way of looking. */
export type NearbySource = {
  /** Which. */
  via: Via,
  /** Whether it works. */
  state: SourceState,
  /** Why not. */
  code?: ErrorCode,
  /** What to do about it, in plain English. */
  hint?: string,
  /** What exactly was seen. */
  detail?: string, };

/** A Wi-Fi whose passphrase is known here. */
export type NearbyWifi = {
  /** Its name. */
  ssid: string, };

/** The network step as the device tells it. */
export type NetworkState = "scanning" | "sending" | "connecting" | "connected" | "failed";

/** Why a network of a scan cannot be chosen. */
export type NotJoinable = "enterprise" | "wep" | "hidden";

/** A pairing that the provisioning API did not take. */
export type NotTold = {
  /** Which. */
  handoffId: string,
  /** Why. */
  code: ErrorCode, };

/** No arguments, or nothing to answer: `{}`. */
export type Nothing = Record<string, never>;

/** A device that cannot be paired without the API. */
export type OnlineDevice = {
  /** As the inventory spells it. */
  registrationId: string,
  /** Why. */
  reason: OnlineReason, };

/** Why a device needs the API while it is paired. */
export type OnlineReason = "certificateNeedsDevice" | "attestationOpen" | "ownerNeedsDevice" | "beingPaired" | "noInstance" | "dpsUnavailable" | "unknown";

/** The hours of the day in which an order is open, by the clock on the site's wall. */
export type OpeningHours = {
  /** `HH:MM`, the first minute. Later than `until`: over midnight. */
  from: string,
  /** `HH:MM`, the first minute that is outside. */
  until: string,
  /** IANA name: `Europe/Berlin`. */
  timeZone: string, };

/** A device of a work order. */
export type OrderDevice = {
  /** As the inventory spells it. */
  registrationId: string,
  /** Where it stands. */
  lifecycle: Lifecycle,
  /** Its slot, where the order has a schedule. */
  startsAt?: string | null, };

/** What of a work order is here, for use without a network. */
export type OrderDownloaded = {
  /** Until when it can be used. */
  notAfter: string,
  /** Registration IDs of the devices that can be paired without a network. */
  sealed: Array<string>,
  /** The others, and why they need one. */
  online: Array<OnlineDevice>, };

/** A work order. */
export type OrderRef = {
  /** Its ID. */
  id: string, };

/** A work order and its download. */
export type OrderSeen = {
  /** As the provisioning API has it, or had it when it was downloaded. */
  order: WorkOrder,
  /** What was downloaded of it. */
  downloaded?: OrderDownloaded, };

/** How a work order stands. */
export type OrderState = "open" | "closed" | "cancelled";

/** The account's work orders. */
export type OrdersSeen = {
  /** In the order in which they were made; with their devices where they are downloaded. */
  orders: Array<OrderSeen>,
  /** Whether the provisioning API was reached; if not, these are the downloaded ones. */
  asked: boolean,
  /** Why it was not. */
  error?: CommandError, };

/** Progress of a pairing. Serialised, it is a line of the command line's `--json`. */
export type PairingEvent = { "event": "started",
  /** The idempotency key of the whole pairing. */
  handoffId: string,
  /** True: an earlier run was interrupted and this one finishes it. */
  resumed: boolean,
  /** The label's name for the device. */
  name: string,
  /** The link, for example `http://192.168.4.1:80`. */
  link: string, } | { "event": "step-started",
  /** Which. */
  step: Step,
  /** Whom it waits for. */
  waitingFor: WaitingFor,
  /** The step ends in an error after this many seconds. */
  deadlineS: number, } | { "event": "step-done",
  /** Which. */
  step: Step,
  /** How long it took. */
  seconds: number,
  /** Link exchanges in this step. */
  roundTrips: number, } | { "event": "searching",
  /** Devices that are heard so far, the right one not among them. */
  heard: number, } | { "event": "device-found",
  /** What it calls itself. */
  name: string,
  /** `AA:BB:CC:DD:EE:FF`, or the system's identifier. */
  address: string,
  /** Signal strength in dBm, if the radio can tell. */
  rssi: number | null, } | { "event": "retrying",
  /** In which step. */
  step: Step,
  /** Why. */
  code: ErrorCode,
  /** After how many milliseconds. */
  afterMs: number,
  /** Why so long. */
  reason: Reason, } | { "event": "offline",
  /** In which step. */
  step: Step,
  /** It ends in `offline` after so many seconds. */
  atMostS: number, } | { "event": "online",
  /** In which step. */
  step: Step,
  /** How long it was away. */
  afterMs: number, } | { "event": "circuit",
  /** In which step. */
  step: Step,
  /** What is called. */
  endpoint: string,
  /** How the breaker stands. */
  state: CircuitState,
  /** Where it is open: milliseconds until it is tried again. */
  againInMs?: number | null, } | { "event": "secured",
  /** Of protocomm: 0, 1 or 2. */
  security: number, } | { "event": "device-identified",
  /** As on the label. */
  registrationId: string,
  /** The device's own word. */
  model: string,
  /** The device's own word. */
  firmware: string,
  /** Best first. */
  attestations: Array<Attestation>,
  /** Where it stands. */
  phase: DevicePhase, } | { "event": "allocated",
  /** The DPS instance's name. */
  dpsInstance: string,
  /** `0ne…`. */
  idScope: string,
  /** Host or host:port. */
  globalDeviceEndpoint: string,
  /** How the device will attest. */
  attestation: Attestation, } | { "event": "waiting-for-slot",
  /** Its turn, by the API's clock. */
  startsAt: string,
  /** Seconds until then, whatever this machine's clock says. */
  waitS: number, } | { "event": "unsealed",
  /** The work order. */
  order: string, } | { "event": "network",
  /** How it stands. */
  state: NetworkState, } | { "event": "handed-off",
  /** SHA-256 of the configuration in hex, as computed by both sides. */
  digest: string, } | { "event": "device-status",
  /** The phase. */
  phase: DevicePhase,
  /** Attempts made in it. */
  attempts: number, } | { "event": "reconnecting",
  /** The how-manieth time. */
  attempt: number, } | { "event": "warning", } & ({ "warning": "session-unprotected" } | { "warning": "session-without-integrity" } | { "warning": "session-nonce-reuse" } | { "warning": "security-downgraded",
  /** Of the label. */
  label: number,
  /** Of the device. */
  device: number, } | { "warning": "owner-not-checked" } | { "warning": "already-owned" } | { "warning": "codes-guessed",
  /** How many, since the last right one. */
  count: number, } | { "warning": "outcome-not-recorded",
  /** Why. */
  code: ErrorCode, } | { "warning": "confirmed-by-api" } | { "warning": "id-scope-overridden",
  /** By the API. */
  given: string,
  /** To the device. */
  sent: string, } | { "warning": "endpoint-overridden",
  /** By the API. */
  given: string,
  /** To the device. */
  sent: string, } | { "warning": "wifi-not-cleared" }) | { "event": "finished",
  /** The idempotency key of the pairing. */
  handoffId: string,
  /** As on the label. */
  registrationId: string,
  /** The link. */
  link: string,
  /** How the device attests. */
  attestation: Attestation,
  /** The DPS instance's name. */
  dpsInstance: string,
  /** `0ne…`. */
  idScope: string,
  /** The assigned hub's host name. */
  hub: string,
  /** The hub's name for the device. */
  deviceId: string,
  /** DPS's substatus, as DPS spells it. */
  substatus?: string | null,
  /** Link exchanges until the commit was acknowledged. */
  roundTripsToCommit: number,
  /** Link exchanges of the whole pairing. */
  roundTrips: number,
  /** Bytes of requests. */
  bytesSent: number,
  /** Bytes of answers. */
  bytesReceived: number,
  /** From start to end. */
  seconds: number, } | { "event": "network-finished",
  /** The label's name for the device. */
  name: string,
  /** The link. */
  link: string,
  /** The network's name, with what could disturb a terminal escaped. */
  ssid: string,
  /** The device's address there, if it said so. */
  ip?: string | null,
  /** Link exchanges. */
  roundTrips: number,
  /** From start to end. */
  seconds: number, } | { "event": "failed",
  /** What happened and what to do next, in plain English. */
  hint: string,
  /** The stable code. */
  code: ErrorCode,
  /** What to do about it. */
  action: Action,
  /** The step in which it happened, if a pairing was under way. */
  step?: Step | null,
  /** For support: what exactly was seen. English, no secrets. */
  detail?: string | null,
  /** Seconds after which it makes sense to try again, if the other side said so. */
  retryAfterS?: number | null,
  /** The API's name for the failed call, to be quoted to its operator. */
  requestId?: string | null,
  /** Which role is there and which one is needed, where that is why. */
  missingRole?: MissingRole | null, };

/** A pairing of this process. */
export type PairingRef = {
  /** Names it as long as this process lives. The journal has another name for it, the hand-off ID. */
  pairingId: string, };

/** How a pairing of this process stands. */
export type PairingSeen = {
  /** Names it. */
  pairingId: string,
  /** Of its label. */
  labelId: string,
  /** The label's name for the device. */
  name: string,
  /** The link. */
  link: string,
  /** When it was begun here. */
  startedAt: string,
  /** How it stands. */
  state: PairingState,
  /** Part of the demo. */
  demo: boolean,
  /** Names it in the journal. */
  handoffId?: string,
  /** The step that runs, or ran last. */
  step?: Step,
  /** Where it was assigned to. */
  hub?: string,
  /** Why it ended without. */
  code?: ErrorCode, };

/** `pairing_start`. */
export type PairingStart = {
  /** Of the device. */
  labelId: string,
  /** How to reach it, where not as the label says. */
  link?: string,
  /** For a device that needs a network. The demo's devices get the demo's Wi-Fi without it. */
  wifi?: WifiGiven,
  /** Pair a device without any protection. */
  allowSecurity0?: boolean,
  /** Pair a device that announces less security than its label. */
  allowDowngrade?: boolean, };

/** How a pairing of this process stands. */
export type PairingState = "running" | "finished" | "failed" | "cancelled";

/** Whether a serial port can be used. */
export type PortState = "ready" | "denied" | "busy";

/** Why a delay is as long as it is. */
export type Reason = "immediate" | "back-off" | "retry-after" | "throttled";

/** What the doctor found. */
export type Report = {
  /** When, by this machine's clock. */
  at: string,
  /** Of this program. */
  version: string,
  /** The worst status of all checks; `skipped` is no worse than `ok`. */
  worst: Status,
  /** How long it took. */
  seconds: number,
  /** All checks, in the order of [`Topic::ALL`]. */
  checks: Array<Check>,
  /** The circuit breakers of this program: which endpoints are left alone at the moment. */
  circuits?: Array<CircuitReport>, };

/** What an account may do. */
export type Role = "installer" | "administrator" | "auditor" | "device" | "unknown";

/** One thing that a check saw. `Display` says it in plain English; a page words it in its own language. No secrets. `why` and `text` are the system's or a library's own English. */
export type Seen = { "seen": "path",
  /** Where. */
  path: string, } | { "seen": "setting",
  /** `FILE:LINE:COLUMN` or an environment variable. */
  place?: string,
  /** The key, if it is about one. */
  key?: string,
  /** What is wrong. */
  problem: SettingWrong, } | { "seen": "more",
  /** How many. */
  count: number, } | { "seen": "override",
  /** Its key. */
  key: string, } | { "seen": "host",
  /** `HOST` or `HOST:PORT`. */
  host: string, } | { "seen": "proxy",
  /** `HOST` or `HOST:PORT`. */
  proxy: string, } | { "seen": "answered-by",
  /** Who. */
  host: string, } | { "seen": "page" } | { "seen": "sent-to",
  /** Where. */
  host: string, } | { "seen": "sign-in-wanted" } | { "seen": "certificate",
  /** `CN=…, O=…`; absent where it cannot be read. */
  issuer?: string,
  /** From when on it is valid. */
  notBefore?: string,
  /** Until when. */
  notAfter?: string, } | { "seen": "today",
  /** Now. */
  at: string, } | { "seen": "clock",
  /** Ahead of the server's; behind it: negative. */
  seconds: number, } | { "seen": "http",
  /** What was asked for: `health`, `metadata`. */
  of: string,
  /** 100 to 599. */
  status: number, } | { "seen": "version",
  /** As the API says it. */
  version?: string, } | { "seen": "took",
  /** Milliseconds, the making of the connection included. */
  ms: number, } | { "seen": "took-again",
  /** Milliseconds. */
  ms: number, } | { "seen": "person",
  /** As the API knows them. */
  name: string,
  /** What they may do. */
  role: Role,
  /** The account; absent: a token from a file or the environment. */
  account?: string, } | { "seen": "valid-until",
  /** Its end. */
  at: string, } | { "seen": "keyring",
  /** Its product name. */
  name: string, } | { "seen": "secrets-file",
  /** Where. */
  path: string, } | { "seen": "adapter",
  /** As the system calls it. */
  name: string, } | { "seen": "no-adapter",
  /** `no-service`, `no-adapter`, `off`, `blocked`, `no-permission`, `location-off`. */
  problem: string,
  /** The same in plain English. */
  text: string,
  /** What to type in a terminal of this machine to mend it, where there is such a thing. */
  command?: string, } | { "seen": "port",
  /** `/dev/ttyUSB0`, `COM3`. */
  path: string,
  /** Whether it can be used. */
  state: PortState, } | { "seen": "pairings",
  /** How many. */
  count: number, } | { "seen": "room",
  /** Bytes that this user may still write; absent where the system cannot tell. */
  bytes?: number, } | { "seen": "error",
  /** Its code. */
  code: ErrorCode,
  /** For support. */
  detail?: string, } | { "seen": "no-answer",
  /** After how long. */
  seconds: number, } | { "seen": "said",
  /** English, or whatever it speaks. */
  text: string, };

/** What the device was sent. */
export type Sent = {
  /** `0ne…`. */
  idScope: string,
  /** Host or host:port. */
  globalDeviceEndpoint: string, };

/** `setting_unset`. */
export type SettingKey = {
  /** Which. */
  key: string, };

/** What is wrong with the settings. */
export type SettingProblem = {
  /** The stable code. */
  code: ErrorCode,
  /** The key as it is written there, if it is about one. */
  key?: string,
  /** What is wrong, for a page that has words of its own. */
  problem: SettingWrong,
  /** What is wrong, in plain English. Quotes nothing that may be a secret. */
  what: string,
  /** What to do about it, in plain English. */
  mend: string,
  /** Where. */
  source: SettingSource, };

/** One setting. */
export type SettingSeen = {
  /** As it is written in the file. */
  key: string,
  /** What holds; absent: nothing, and there is no default. */
  value?: SettingValue,
  /** Where that came from. */
  source: SettingSource,
  /** What holds when nobody sets it. */
  default?: string,
  /** What it is for, a paragraph of plain English. */
  about: string,
  /** What values look like, for example `https://HOST[:PORT]`. */
  looks: string,
  /** Whether it takes several values. */
  list: boolean,
  /** It is kept where secrets are, and never shown. */
  secret: boolean,
  /** Of a secret: whether there is one; absent where that cannot be told without asking the person. */
  isSet?: boolean,
  /** What is wrong with it, and what to do. */
  problem?: SettingProblem,
  /** What deserves a second look although it is valid. */
  warning?: string, };

/** `setting_set`. Not `Debug`: a value may be the proxy's password. */
export type SettingSet = {
  /** Which. */
  key: string,
  /** One value, or several for a list. */
  values: Array<string>, };

/** Where a setting came from. */
export type SettingSource = { "from": "default" } | { "from": "file",
  /** The file. */
  path: string,
  /** Counted from 1. */
  line: number, } | { "from": "environment",
  /** Its name. */
  name: string, } | { "from": "flag",
  /** Its name. */
  name: string, };

/** What a setting is set to. */
export type SettingValue = string | Array<string>;

/** What is wrong with a setting or with the file. `Display` says it in plain English and [`mend`](Self::mend) what to do; a page words both in its own language. Quotes no value that may be a secret; `why` is the system's or a library's own English. */
export type SettingWrong = { "wrong": "missing",
  /** What values look like. */
  looks: string, } | { "wrong": "several",
  /** What values look like. */
  looks: string, } | { "wrong": "not-text",
  /** What values look like. */
  looks: string, } | { "wrong": "not-texts",
  /** What values look like. */
  looks: string, } | { "wrong": "not-a-list" } | { "wrong": "not-one-text" } | { "wrong": "not-unicode" } | { "wrong": "not-a-word" } | { "wrong": "not-a-place-for-secrets" } | { "wrong": "not-a-host" } | { "wrong": "not-a-scope" } | { "wrong": "not-a-filter" } | { "wrong": "not-an-address",
  /** As the parser says it. */
  why: string,
  /** What one looks like. */
  example: string, } | { "wrong": "no-host",
  /** What one looks like. */
  example: string, } | { "wrong": "plain-http" } | { "wrong": "not-https" } | { "wrong": "more-than-an-address" } | { "wrong": "not-an-http-proxy" } | { "wrong": "more-than-a-proxy" } | { "wrong": "login-in-address" } | { "wrong": "login-in-proxy" } | { "wrong": "private-key" } | { "wrong": "access-key" } | { "wrong": "token" } | { "wrong": "proxy-password" } | { "wrong": "wifi-passphrase" } | { "wrong": "secret" } | { "wrong": "unknown-key",
  /** What was probably meant. */
  nearest: string,
  /** All keys that there are. */
  all: Array<string>, } | { "wrong": "ca-not-text",
  /** The file. */
  file: string, } | { "wrong": "ca-unreadable",
  /** The file. */
  file: string,
  /** As the system says it. */
  why: string, } | { "wrong": "ca-not-pem",
  /** The file. */
  file: string,
  /** As the parser says it. */
  why: string, } | { "wrong": "ca-damaged",
  /** The file. */
  file: string,
  /** Which certificate in it, counted from 1. */
  number: number,
  /** As the parser says it. */
  why: string, } | { "wrong": "unreadable",
  /** As the system says it. */
  why: string, } | { "wrong": "folder" } | { "wrong": "too-long",
  /** How long. */
  bytes: number, } | { "wrong": "not-utf8" } | { "wrong": "torn",
  /** As the parser says it. */
  why: string, } | { "wrong": "unwritable",
  /** As the system says it. */
  why: string, };

/** The settings. */
export type SettingsPage = {
  /** The settings file, whether or not it is there. */
  file: string,
  /** Every setting; at the end the proxy's password, which is a secret. */
  settings: Array<SettingSeen>,
  /** Everything that is wrong, also with the file as a whole and with keys that there are not. */
  problems: Array<SettingProblem>, };

/** How a sign-in goes. */
export type SignInEvent = { "event": "open-browser",
  /** Always https. */
  url: string, } | { "event": "device-code",
  /** The page. */
  url: string,
  /** The same with the code in it, for a QR code. */
  completeUrl?: string,
  /** What to type. */
  code: string,
  /** Until when. */
  expiresAt: string, } | { "event": "signed-in",
  /** Now the current one. */
  account: AccountSeen,
  /** Seconds by which the server's clock is ahead of this machine's, where that is more than five minutes. */
  clockWrongByS?: number,
  /** Whether it is renewed without the person. */
  renewable: boolean, } | { "event": "failed",
  /** Why. */
  error: CommandError, };

/** A way of signing in. */
export type SignInWay = "invite" | "browser" | "device-code";

/** `sign_in`. */
export type SignInWith = {
  /** Which way. */
  way: SignInWay,
  /** The provisioning API's address; with an invite the invite's. Absent: the one of the settings. */
  server?: string,
  /** The invite's text, or its code alone together with a server. */
  invite?: string,
  /** In place of the text: an invite that was read. */
  inviteId?: string,
  /** CA certificates (PEM) to trust for this server beside the system's; kept with the account. */
  caPem?: string, };

/** A sign-out. What was kept here is gone in any case. */
export type SignedOutSeen = {
  /** Who. */
  account: AccountSeen,
  /** Why the server could not be told; its tokens end by themselves. */
  notRevoked?: CommandError, };

/** Whether a way of looking works. */
export type SourceState = "starting" | "listening" | "paused" | "unavailable";

/** How this program stands. */
export type Standing = {
  /** As whom the provisioning API is called; absent: nobody is signed in. */
  account?: AccountSeen,
  /** A token of the host's stands in place of an account. */
  byToken: boolean,
  /** The provisioning API's address, of the account or of the settings. */
  server?: string,
  /** Why nobody can be called, where settings or accounts cannot be read. */
  problem?: CommandError,
  /** Whether this machine has a network. */
  online: boolean,
  /** The demo. While it is on, pairings, journal and what is in reach are the demo's. */
  demo: DemoSeen,
  /** Pairings that run in this process. */
  running: number,
  /** Pairings of the journal that are open: they run, or the next run finishes them. */
  unfinished: number,
  /** Pairings that ended and that the provisioning API has not been told of. */
  untold: number, };

/** How a pairing stands, for a list of them. */
export type Stands = "open" | "assigned" | "failed" | "untold";

/** How a pairing stands. */
export type State = "open" | "assigned" | "failed";

/** How a check ended; the later ones are worse. */
export type Status = "ok" | "skipped" | "warning" | "failed";

/** The steps of a pairing, in their order. */
export type Step = "discover" | "connect" | "secure" | "identify" | "allocate" | "network" | "hand-off" | "confirm" | "record";

/** What the provisioning API was told. */
export type ToldSeen = {
  /** Pairings that it knows of now. */
  told: Array<string>,
  /** Pairings that it did not take. */
  refused: Array<NotTold>, };

/** What a check is about. The texts are stable. */
export type Topic = "settings" | "network" | "time" | "tls" | "api" | "sign-in" | "dps" | "keyring" | "adapter" | "ports" | "journal";

/** An interrupted pairing. */
export type Unfinished = {
  /** Names it in the journal. */
  handoffId: string,
  /** When its first run began. */
  startedAt: string,
  /** Where its last run stopped, if that is known. */
  step?: string,
  /** Why, a code of the errors. */
  code?: string,
  /** Whether the device has its new configuration already. */
  committed: boolean, };

/** Whether something can be used now. */
export type Usable = { "state": "ready" } | { "state": "permission-denied",
  /** What to do about it. */
  mend: string, } | { "state": "busy",
  /** What to do about it. */
  mend: string, };

/** Where something was found. */
export type Via = "ble" | "serial" | "demo";

/** Whom a step waits for. */
export type WaitingFor = "device" | "api" | "cloud" | "journal";

/** How a network lets devices in, by the numbers of ESP-IDF's `wifi_auth_mode_t`. */
export type WifiAuth = "open" | "wep" | "wpa" | "wpa2" | "wpa-wpa2" | "wpa3" | "wpa2-wpa3" | "enterprise" | "unknown";

/** A Wi-Fi for the device. */
export type WifiGiven = {
  /** Its name, as a person types it or as `wifi_networks` has it. */
  ssid: string,
  /** The name's bytes in hex, where `wifi_networks` has them. */
  ssidHex?: string,
  /** Absent for an open network. */
  passphrase?: string,
  /** The network does not tell its name. */
  hidden?: boolean, };

/** A network that the device hears. */
export type WifiNetwork = {
  /** Its name; empty for a hidden network. In JSON escaped as `Display` has it. */
  ssid: string,
  /** The name's bytes in hex, where `ssid` in JSON is not the name itself. */
  ssidHex?: string,
  /** Of the strongest access point, in dBm: -30 is next to it, -90 is hardly heard. */
  rssi: number,
  /** Of the strongest access point. */
  channel: number,
  /** How it lets devices in. */
  auth: WifiAuth,
  /** Of the strongest access point, as `02:10:20:30:40:00`. */
  bssid: string,
  /** How many access points have this name. */
  accessPoints: number,
  /** Whether it can be chosen. */
  joinable: boolean,
  /** Why not. */
  reason?: NotJoinable, };

/** `wifi_networks`. */
export type WifiNetworksOf = {
  /** Of the device. */
  labelId: string,
  /** How to reach it, where not as the label says. */
  link?: string,
  /** Talk to a device without any protection. */
  allowSecurity0?: boolean,
  /** Talk to a device that announces less security than its label. */
  allowDowngrade?: boolean, };

/** A work order. */
export type WorkOrder = {
  /** Its ID. */
  id: string,
  /** Whose devices. */
  tenant: string,
  /** Where. */
  site: string,
  /** Who: an account's ID. */
  installer: string,
  /** How it stands. */
  state: OrderState,
  /** Whether its devices can be paired at this moment: its state, its times and its hours say so. */
  openNow: boolean,
  /** Any devices of a model. */
  anyOf?: AnyOf | null,
  /** How many of [`AnyOf::at_most`] are taken. */
  taken: number,
  /** Not before this time. */
  opens?: string | null,
  /** Not from this time on. */
  closes?: string | null,
  /** Only in these hours of each day. */
  hours?: OpeningHours | null,
  /** Whether its devices get slots to start in. */
  schedule: boolean,
  /** The devices that are named or were taken. Left out of lists. */
  devices?: Array<OrderDevice>,
  /** When it was made. */
  createdAt: string,
  /** For `If-Match`. */
  etag: string, };

/** Every call: its arguments and its answer. */
export interface Calls {
  /** What this program is and what it can do. */
  about: { args: Nothing; result: About };
  /** Reads a label's text (the QR code's). The label stays here; the answer names it. */
  label_read: { args: LabelText; result: LabelSeen };
  /** Reads the QR code in a picture, PNG or JPEG. */
  label_read_picture: { args: LabelPicture; result: LabelSeen };
  /** Makes a label of what a person types: name, code (PoP) and link. */
  label_from_code: { args: LabelCode; result: LabelSeen };
  /** Which Wi-Fi networks the device hears. */
  wifi_networks: { args: WifiNetworksOf; result: Array<WifiNetwork> };
  /** What a device says of itself; more of it where its label is given. */
  device_info: { args: DeviceInfoOf; result: DeviceInfo };
  /** Begins a pairing. An earlier one of the same label that was interrupted is finished by it. */
  pairing_start: { args: PairingStart; result: PairingRef };
  /** Ends a pairing at the next possible moment; a pairing that has ended stays as it is. */
  pairing_cancel: { args: PairingRef; result: Nothing };
  /** The pairings of this process, newest first. */
  pairings: { args: Nothing; result: Array<PairingSeen> };
  /** A page of the journal, newest first. */
  journal: { args: JournalQuery; result: JournalPage };
  /** One pairing of the journal. */
  journal_entry: { args: HandoffRef; result: JournalEntry };
  /** Tells the provisioning API of every pairing that ended while it could not be reached. */
  journal_tell: { args: Nothing; result: ToldSeen };
  /** The account's work orders, and which of them are downloaded. Without a network those that are downloaded. */
  orders: { args: Nothing; result: OrdersSeen };
  /** One work order with its devices. */
  order: { args: OrderRef; result: OrderSeen };
  /** Downloads an open work order for use where there is no network. */
  order_download: { args: OrderRef; result: OrderDownloaded };
  /** Who is signed in where. */
  accounts: { args: Nothing; result: AccountsSeen };
  /** Makes an account the current one. */
  account_use: { args: AccountNamed; result: AccountSeen };
  /** Ends an account's sign-in; it stays in the list. */
  account_sign_out: { args: AccountNamed; result: SignedOutSeen };
  /** As `account_sign_out`, and takes the account from the list. */
  account_remove: { args: AccountNamed; result: SignedOutSeen };
  /** Where an invite leads. It is not used by that, and stays here. */
  invite_read: { args: InviteText; result: InviteSeen };
  /** The same for the QR code in a picture, PNG or JPEG. */
  invite_read_picture: { args: InvitePicture; result: InviteSeen };
  /** Every setting, its value and where it came from, and what is wrong. */
  settings: { args: Nothing; result: SettingsPage };
  /** Writes a setting into the file and answers what holds now. */
  setting_set: { args: SettingSet; result: SettingSeen };
  /** Takes a setting out of the file, also one that there is not. */
  setting_unset: { args: SettingKey; result: Nothing };
  /** Looks at everything that a pairing stands on. */
  doctor: { args: Nothing; result: Report };
  /** Logs, doctor's report, settings and journal in one zip file for support. It is sent nowhere. */
  logs_bundle: { args: Nothing; result: LogsBundle };
  /** Ends the demo and everything that it started. Answers when it is gone. */
  demo_stop: { args: Nothing; result: Nothing };
}

/** Every stream: its arguments and what it tells. */
export interface Streams {
  /** How this program stands: at once, and whenever that changes. */
  standing: { args: Nothing; event: Standing };
  /** The devices in reach and the ways in which they are looked for: at once, and whenever that changes. */
  nearby: { args: Nothing; event: NearbySeen };
  /** Everything that a pairing told and tells, from the first event on; ends after the final one. */
  pairing_watch: { args: PairingRef; event: PairingEvent };
  /** Signs in; ends after `signed-in` or `failed`. */
  sign_in: { args: SignInWith; event: SignInEvent };
  /** Starts the demo; ends after `ready` or `failed`. The demo itself goes on until `demo_stop`. */
  demo_start: { args: DemoWith; event: DemoEvent };
}

export const callNames = [
  "about",
  "label_read",
  "label_read_picture",
  "label_from_code",
  "wifi_networks",
  "device_info",
  "pairing_start",
  "pairing_cancel",
  "pairings",
  "journal",
  "journal_entry",
  "journal_tell",
  "orders",
  "order",
  "order_download",
  "accounts",
  "account_use",
  "account_sign_out",
  "account_remove",
  "invite_read",
  "invite_read_picture",
  "settings",
  "setting_set",
  "setting_unset",
  "doctor",
  "logs_bundle",
  "demo_stop",
] as const satisfies readonly (keyof Calls)[];

export const streamNames = [
  "standing",
  "nearby",
  "pairing_watch",
  "sign_in",
  "demo_start",
] as const satisfies readonly (keyof Streams)[];

export const errorCodes = [
  "label-empty",
  "label-not-a-label",
  "label-incomplete",
  "label-unsupported",
  "label-is-invite",
  "picture-unreadable",
  "picture-too-large",
  "picture-without-code",
  "picture-with-several-codes",
  "label-forgotten",
  "pairing-forgotten",
  "too-many-pairings",
  "already-pairing",
  "device-not-found",
  "link-permission-denied",
  "bluetooth-unavailable",
  "device-ambiguous",
  "link-busy",
  "link-unsupported",
  "link-lost",
  "device-silent",
  "device-garbage",
  "device-answer-too-long",
  "not-a-device",
  "dps-config-missing",
  "wrong-pop",
  "wrong-security-version",
  "security-downgrade",
  "security-none-refused",
  "session-foreign",
  "device-closed",
  "device-slowed-down",
  "session-failed",
  "wrong-device",
  "registration-id-invalid",
  "no-attestation",
  "api-not-set",
  "api-url-invalid",
  "api-not-https",
  "api-ca-invalid",
  "api-token-missing",
  "offline",
  "api-unreachable",
  "api-timeout",
  "api-tls-expired",
  "api-tls-foreign",
  "api-redirect",
  "api-unauthenticated",
  "api-forbidden",
  "api-not-found",
  "device-unknown",
  "handoff-conflict",
  "not-allocated",
  "attestation-mismatch",
  "csr-rejected",
  "api-request-rejected",
  "api-throttled",
  "no-instance",
  "dps-unavailable",
  "api-internal",
  "api-answer-invalid",
  "api-answer-too-long",
  "network-needed",
  "wifi-invalid",
  "wifi-wrong-password",
  "wifi-enterprise",
  "wifi-security-differs",
  "wifi-not-found",
  "wifi-timeout",
  "wifi-no-address",
  "wifi-reset-needed",
  "wifi-scan-failed",
  "network-unsupported",
  "device-busy",
  "not-owner",
  "device-too-small",
  "device-unsupported",
  "credential-refused",
  "device-refused",
  "digest-mismatch",
  "handoff-expired",
  "device-storage",
  "device-internal",
  "endpoint-unreachable",
  "endpoint-tls",
  "dps-credential",
  "dps-not-found",
  "dps-disabled",
  "dps-assignment-failed",
  "dps-throttled",
  "device-failed",
  "confirm-timeout",
  "journal-disk-full",
  "journal-not-a-database",
  "journal-newer",
  "journal-locked",
  "journal-permission",
  "journal-failed",
  "slot-later",
  "order-unknown",
  "order-not-open",
  "journal-no-entry",
  "settings-unreadable",
  "settings-torn",
  "settings-unknown-key",
  "settings-invalid",
  "settings-secret",
  "settings-unwritable",
  "override-refused",
  "proxy-invalid",
  "proxy-unreachable",
  "proxy-login",
  "proxy-refused",
  "proxy-password-missing",
  "keyring-no-session",
  "keyring-missing",
  "keyring-locked",
  "keyring-not-set-up",
  "keyring-denied",
  "keyring-timeout",
  "keyring-failed",
  "secrets-passphrase-missing",
  "secrets-passphrase-wrong",
  "secrets-file-damaged",
  "secrets-file-busy",
  "secrets-file-failed",
  "sign-in-unsupported",
  "sign-in-not-offered",
  "sign-in-metadata-invalid",
  "sign-in-unreachable",
  "sign-in-refused",
  "sign-in-expired",
  "sign-in-answer-invalid",
  "sign-in-blocked",
  "signed-out",
  "no-role",
  "invite-invalid",
  "invite-refused",
  "captive-portal",
  "account-unknown",
  "accounts-unreadable",
  "accounts-failed",
  "accounts-busy",
  "browser-elsewhere",
  "command-unknown",
  "command-arguments",
  "gateway-session-missing",
  "gateway-code-wrong",
  "gateway-slowed-down",
  "gateway-foreign",
  "gateway-body-too-long",
  "gateway-full",
  "file-unwritable",
  "demo-not-built",
  "demo-failed",
  "cancelled",
  "internal",
] as const satisfies readonly (ErrorCode)[];
