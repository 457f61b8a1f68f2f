// The Token-2022 extensions of the mints in solana.mjs, and what each of them asks of the token accounts.
import { AccountState, extension } from '@solana-program/token-2022';

// 32 zero bytes: how the extensions say that there is none.
const NOBODY = '11111111111111111111111111111111';

const fee = (authority, basisPoints) => {
  const transferFee = { epoch: 0, maximumFee: 2n ** 64n - 1n, transferFeeBasisPoints: basisPoints };
  return extension('TransferFeeConfig', {
    transferFeeConfigAuthority: authority,
    withdrawWithheldAuthority: authority,
    withheldAmount: 0,
    olderTransferFee: transferFee,
    newerTransferFee: transferFee,
  });
};

const hook = (authority, programId) => extension('TransferHook', { authority, programId });

// What issuers of stablecoins keep for themselves.
const issuer = (authority) => [
  extension('MintCloseAuthority', { closeAuthority: authority }),
  extension('PermanentDelegate', { delegate: authority }),
  extension('ConfidentialTransferMint', { authority, autoApproveNewAccounts: false, auditorElgamalPubkey: null }),
];

const described = (mint, authority, name, symbol) => [
  extension('MetadataPointer', { authority, metadataAddress: mint }),
  extension('TokenMetadata', {
    updateAuthority: authority, mint, name, symbol, uri: 'https://example.com/a.json', additionalMetadata: new Map(),
  }),
];

const OF_ACCOUNT = {
  TransferFeeConfig: () => [extension('TransferFeeAmount', { withheldAmount: 0 })],
  TransferHook: () => [extension('TransferHookAccount', { transferring: false })],
  NonTransferable: () => [extension('NonTransferableAccount', {})],
  PausableConfig: () => [extension('PausableAccount', {})],
};

const OF_MINT = {
  // PayPal USD as on chain: able to take a fee, and taking none; able to have a hook, and having none.
  pyusd: ({ mint, authority }) => [
    ...issuer(authority),
    fee(authority, 0),
    extension('ConfidentialTransferFee', {
      authority, elgamalPubkey: NOBODY, harvestToMintEnabled: true, withheldAmount: new Uint8Array(64),
    }),
    hook(authority, NOBODY),
    ...described(mint, authority, 'PayPal USD', 'PYUSD'),
  ],
  // Open USD as seen on chain at its launch: no fee, a hook that is not set, and not paused.
  ousd: ({ mint, authority }) => [
    ...issuer(authority),
    extension('DefaultAccountState', { state: AccountState.Initialized }),
    hook(authority, NOBODY),
    extension('PausableConfig', { authority, paused: false }),
    ...described(mint, authority, 'OpenUSD', 'OUSD'),
  ],
  transferFee: ({ authority }) => [fee(authority, 100)],
  transferHook: ({ authority, hook: programId }) => [hook(authority, programId)],
  nonTransferable: () => [extension('NonTransferable', {})],
};

// Nothing at all for a mint of the first Token program.
export function extensionsOf(name, at) {
  if (!OF_MINT[name]) return { mint: null, account: null };
  const mint = OF_MINT[name](at);
  const asked = mint.flatMap(({ __kind }) => OF_ACCOUNT[__kind]?.() ?? []);
  return { mint, account: [extension('ImmutableOwner', {}), ...asked] };
}
