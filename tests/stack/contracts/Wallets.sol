// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

bytes4 constant MAGIC = 0x1626ba7e;

// None of these keeps state in storage, so each also works as the delegate of an EIP-7702 account.

/// Accepts 0x01 followed by the owner's 65-byte ECDSA signature: never 65 bytes in all.
contract OwnerWallet {
    address public immutable owner;

    constructor(address owner_) {
        owner = owner_;
    }

    receive() external payable {}

    function isValidSignature(bytes32 digest, bytes calldata signature) external view returns (bytes4) {
        if (signature.length != 66 || signature[0] != 0x01) return 0xffffffff;
        address signer = ecrecover(
            digest, uint8(signature[65]), bytes32(signature[1:33]), bytes32(signature[33:65])
        );
        return signer != address(0) && signer == owner ? MAGIC : bytes4(0xffffffff);
    }
}

contract PermissiveWallet {
    receive() external payable {}

    function isValidSignature(bytes32, bytes calldata) external pure returns (bytes4) {
        return MAGIC;
    }
}

contract RefusingWallet {
    receive() external payable {}

    function isValidSignature(bytes32, bytes calldata) external pure returns (bytes4) {
        return 0xffffffff;
    }
}

contract GasHogWallet {
    receive() external payable {}

    function isValidSignature(bytes32, bytes calldata) external pure returns (bytes4) {
        assembly {
            for {} 1 {} {}
        }
        return MAGIC;
    }
}

/// Answers every call with as many bytes as about half its gas buys: reverts with them when the call data
/// has an odd length, returns them otherwise. Whoever copies them all pays as much again.
contract BombWallet {
    receive() external payable {}

    fallback() external payable {
        assembly {
            // Memory of w words costs about w*w/512.
            let square := mul(gas(), 256)
            let w := 1
            for {} lt(mul(w, w), square) {} { w := mul(w, 2) }
            w := div(w, 2)
            if and(calldatasize(), 1) { revert(0, mul(w, 32)) }
            return(0, mul(w, 32))
        }
    }
}

contract WalletFactory {
    event Deployed(address indexed wallet, address indexed owner, bytes32 salt);

    function deploy(address owner, bytes32 salt) external returns (address wallet) {
        require(addressOf(owner, salt).code.length == 0, "wallet exists");
        wallet = address(new OwnerWallet{salt: salt}(owner));
        emit Deployed(wallet, owner, salt);
    }

    function addressOf(address owner, bytes32 salt) public view returns (address) {
        bytes32 code = keccak256(abi.encodePacked(type(OwnerWallet).creationCode, abi.encode(owner)));
        return address(uint160(uint256(keccak256(abi.encodePacked(bytes1(0xff), address(this), salt, code)))));
    }
}

contract RevertingFactory {
    fallback() external payable {
        revert("factory refuses");
    }
}
