// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

// One eth_call without `to` runs this as init code: it examines many payments and deploys nothing.

/// Most gas one external call may use, by kind.
struct Caps {
    uint256 read;
    uint256 signature;
    uint256 transfer;
}

struct Item {
    address token;
    address payer;
    address payTo;
    bytes32 nonce;
    bytes32 digest;
    bytes signature;
    address target;
    bytes call;
}

struct Result {
    bool starved; // too little gas was left: says nothing about the payment, ask again alone
    bool payerHasCode;
    bool tokenHasCode;
    uint8 signature; // 0 not asked, 1 accepted by the payer's code, 2 refused
    uint8 authorization; // 0 unused, 1 used, 2 not supported
    bool transferred;
    uint256 balance;
    uint256 received;
    bytes returned;
}

interface IToken {
    function balanceOf(address) external view returns (uint256);
    function authorizationState(address, bytes32) external view returns (bool);
}

// Always reverts with its findings, so nothing an item does outlives the item.
contract Probe {
    // Enough to pay for a call's own overhead and then to encode the findings.
    uint256 private constant MARGIN = 30_000;
    uint256 private constant DETAIL = 512;
    bytes4 private constant MAGIC = 0x1626ba7e;

    constructor(Caps memory caps, Item memory item, uint256 reserve) {
        Result memory found;
        address token = item.token;
        address payTo = item.payTo;
        unchecked {
            reserve += MARGIN;
        }

        if (item.payer.code.length != 0) {
            found.payerHasCode = true;
            (bool read, uint256 word) =
                ask(found, item.payer, caps.signature, reserve, abi.encodeWithSelector(MAGIC, item.digest, item.signature));
            // The whole word, as tokens compare it.
            found.signature = read && bytes32(word) == MAGIC ? 1 : 2;
        }
        found.authorization = 2;
        if (token.code.length != 0) {
            found.tokenHasCode = true;
            (bool read, uint256 word) =
                ask(found, token, caps.read, reserve, abi.encodeCall(IToken.authorizationState, (item.payer, item.nonce)));
            if (read && word < 2) found.authorization = uint8(word);

            (, found.balance) = balanceOf(found, token, item.payer, caps.read, reserve);
            (bool known, uint256 before) = balanceOf(found, token, payTo, caps.read, reserve);
            simulate(found, item, caps.transfer, reserve);
            if (found.transferred && known && payTo != item.payer) {
                (, uint256 present) = balanceOf(found, token, payTo, caps.read, reserve);
                unchecked {
                    if (present > before) found.received = present - before;
                }
            }
        }
        report(found);
    }

    function balanceOf(Result memory found, address token, address holder, uint256 cap, uint256 reserve)
        private
        view
        returns (bool, uint256)
    {
        return ask(found, token, cap, reserve, abi.encodeCall(IToken.balanceOf, (holder)));
    }

    // No more than one word is copied, however much the callee returns.
    function ask(Result memory found, address to, uint256 cap, uint256 reserve, bytes memory input)
        private
        view
        returns (bool read, uint256 word)
    {
        afford(found, cap, reserve);
        assembly ("memory-safe") {
            read := staticcall(cap, to, add(input, 32), mload(input), 0, 32)
            read := and(read, gt(returndatasize(), 31))
            if read { word := mload(0) }
        }
    }

    function simulate(Result memory found, Item memory item, uint256 cap, uint256 reserve) private {
        bytes memory input = item.call;
        address target = item.target;
        bytes memory returned = new bytes(DETAIL);
        bool done;
        afford(found, cap, reserve);
        assembly ("memory-safe") {
            done := call(cap, target, 0, add(input, 32), mload(input), 0, 0)
            let size := returndatasize()
            if lt(size, DETAIL) { mstore(returned, size) }
            returndatacopy(add(returned, 32), 0, mload(returned))
        }
        found.transferred = done;
        found.returned = returned;
    }

    // The EVM hands on at most 63/64 of what is left and silently gives less than the cap when short.
    // A callee that failed for that reason would look like one that refused.
    function afford(Result memory found, uint256 cap, uint256 reserve) private view {
        unchecked {
            if (gasleft() > cap + cap / 63 + reserve) return;
        }
        found.starved = true;
        report(found);
    }

    function report(Result memory found) private pure {
        bytes memory out = abi.encode(found);
        assembly ("memory-safe") {
            revert(add(out, 32), mload(out))
        }
    }
}

contract Lens {
    // The node treats the answer as code to deploy: this size at most, and each byte paid for.
    uint256 private constant ANSWER = 24_576;
    uint256 private constant BYTE_GAS = 240;
    uint256 private constant HEAD = 128;
    uint256 private constant RESULT = 352;
    uint256 private constant DETAIL = 512;
    uint256 private constant ENTRY = 150_000;

    // Writes abi.encode(block.number, block.timestamp, Result[]) by hand, each Result straight from the
    // probe that reverted with it.
    constructor(Caps memory caps, Item[] memory items) {
        uint256 count = items.length;
        // Bytes left for the items' return data; more items than fit cannot be answered at all.
        uint256 room = ANSWER - HEAD - count * RESULT;
        uint256 reserve;
        unchecked {
            reserve = count * (RESULT + DETAIL) + HEAD;
            reserve = ENTRY / 3 + BYTE_GAS * (reserve < ANSWER ? reserve : ANSWER);
        }

        bytes memory answer = new bytes(ANSWER);
        uint256 list;
        uint256 end;
        assembly ("memory-safe") {
            let start := add(answer, 32)
            mstore(start, number())
            mstore(add(start, 32), timestamp())
            mstore(add(start, 64), 96)
            mstore(add(start, 96), count)
            list := add(start, HEAD)
            end := add(list, shl(5, count))
        }
        for (uint256 i = 0; i < count; ++i) {
            bool found;
            if (gasleft() > reserve + ENTRY) {
                try new Probe(caps, items[i], reserve) {}
                catch {
                    assembly ("memory-safe") {
                        found := iszero(lt(returndatasize(), RESULT))
                    }
                }
            }
            // An even share, so that no item can crowd out the reasons of another.
            assembly ("memory-safe") {
                let share := and(div(room, sub(count, i)), not(31))
                mstore(add(list, shl(5, i)), sub(end, list))
                switch found
                case 0 {
                    // Died or was never asked: starved, with nothing returned.
                    mstore(end, 1)
                    mstore(add(end, 256), 288)
                    end := add(end, 320)
                }
                default {
                    returndatacopy(end, 32, 320)
                    let length := mload(add(end, 288))
                    if gt(length, share) {
                        length := share
                        mstore(add(end, 288), length)
                    }
                    let padded := and(add(length, 31), not(31))
                    returndatacopy(add(end, 320), RESULT, padded)
                    end := add(end, add(320, padded))
                    room := sub(room, padded)
                }
            }
        }
        assembly ("memory-safe") {
            let start := add(answer, 32)
            return(start, sub(end, start))
        }
    }
}
