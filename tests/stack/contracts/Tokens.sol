// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

abstract contract Balances {
    event Transfer(address indexed from, address indexed to, uint256 value);

    uint8 public constant decimals = 6;
    uint256 public totalSupply;
    mapping(address => uint256) public balanceOf;

    function mint(address to, uint256 value) external {
        totalSupply += value;
        balanceOf[to] += value;
        emit Transfer(address(0), to, value);
    }

    function move(address from, address to, uint256 value) internal {
        require(balanceOf[from] >= value, "balance too low");
        unchecked {
            balanceOf[from] -= value;
        }
        balanceOf[to] += value;
    }
}

/// ERC-20 and nothing more.
contract PlainToken is Balances {
    event Approval(address indexed owner, address indexed spender, uint256 value);

    string public constant name = "Plain";
    string public constant symbol = "PLN";
    mapping(address => mapping(address => uint256)) public allowance;

    function approve(address spender, uint256 value) external returns (bool) {
        allowance[msg.sender][spender] = value;
        emit Approval(msg.sender, spender, value);
        return true;
    }

    function transfer(address to, uint256 value) external returns (bool) {
        move(msg.sender, to, value);
        emit Transfer(msg.sender, to, value);
        return true;
    }

    function transferFrom(address from, address to, uint256 value) external returns (bool) {
        uint256 left = allowance[from][msg.sender];
        require(left >= value, "allowance too low");
        if (left != type(uint256).max) allowance[from][msg.sender] = left - value;
        move(from, to, value);
        emit Transfer(from, to, value);
        return true;
    }
}

/// An EIP-3009 token that misbehaves on demand. A positive gas price tells a transaction from an eth_call.
contract TrickToken is Balances {
    event AuthorizationUsed(address indexed authorizer, bytes32 indexed nonce);
    event AuthorizationCanceled(address indexed authorizer, bytes32 indexed nonce);

    uint8 public constant HONEST = 0;
    uint8 public constant NO_TRANSFER_EVENT = 1;
    uint8 public constant REVERT_WHEN_PAID = 2;
    uint8 public constant NOTHING_WHEN_PAID = 3;
    uint8 public constant BURN_WHEN_PAID = 4;
    uint8 public constant HALF_WHEN_PAID = 5;
    uint8 public constant FEE = 6;

    string public constant name = "USDC";
    string public constant symbol = "USDC";
    string public constant version = "2";
    address public constant feeTaker = address(0xfee);

    bytes32 private constant DOMAIN =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    bytes32 private constant TRANSFER = keccak256(
        "TransferWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
    );
    bytes32 private constant CANCEL = keccak256("CancelAuthorization(address authorizer,bytes32 nonce)");

    uint8 public mode;
    mapping(address => mapping(bytes32 => bool)) public authorizationState;

    struct Transfer3009 {
        address from;
        address to;
        uint256 value;
        uint256 validAfter;
        uint256 validBefore;
        bytes32 nonce;
    }

    function setMode(uint8 mode_) external {
        require(mode_ <= FEE, "no such mode");
        mode = mode_;
    }

    function DOMAIN_SEPARATOR() public view returns (bytes32) {
        return keccak256(
            abi.encode(DOMAIN, keccak256(bytes(name)), keccak256(bytes(version)), block.chainid, address(this))
        );
    }

    function transferWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external {
        settle(Transfer3009(from, to, value, validAfter, validBefore, nonce), v, r, s);
    }

    function transferWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        bytes calldata signature
    ) external {
        require(signature.length == 65, "invalid signature");
        settle(
            Transfer3009(from, to, value, validAfter, validBefore, nonce),
            uint8(signature[64]),
            bytes32(signature[:32]),
            bytes32(signature[32:64])
        );
    }

    function cancelAuthorization(address authorizer, bytes32 nonce, uint8 v, bytes32 r, bytes32 s) external {
        require(!authorizationState[authorizer][nonce], "authorization is used or canceled");
        signedBy(authorizer, keccak256(abi.encode(CANCEL, authorizer, nonce)), v, r, s);
        authorizationState[authorizer][nonce] = true;
        emit AuthorizationCanceled(authorizer, nonce);
    }

    function settle(Transfer3009 memory t, uint8 v, bytes32 r, bytes32 s) private {
        require(block.timestamp > t.validAfter, "authorization is not yet valid");
        require(block.timestamp < t.validBefore, "authorization is expired");
        require(!authorizationState[t.from][t.nonce], "authorization is used or canceled");
        signedBy(t.from, keccak256(abi.encode(TRANSFER, t)), v, r, s);

        if (tx.gasprice > 0) {
            if (mode == REVERT_WHEN_PAID) revert("not when it counts");
            if (mode == NOTHING_WHEN_PAID) return;
            if (mode == BURN_WHEN_PAID) {
                assembly {
                    invalid()
                }
            }
            if (mode == HALF_WHEN_PAID) t.value /= 2;
        }
        authorizationState[t.from][t.nonce] = true;
        emit AuthorizationUsed(t.from, t.nonce);
        if (mode == FEE) {
            uint256 fee = t.value / 100;
            t.value -= fee;
            move(t.from, feeTaker, fee);
            emit Transfer(t.from, feeTaker, fee);
        }
        move(t.from, t.to, t.value);
        if (mode != NO_TRANSFER_EVENT) emit Transfer(t.from, t.to, t.value);
    }

    function signedBy(address who, bytes32 content, uint8 v, bytes32 r, bytes32 s) private view {
        // The upper half of the curve is refused, as USDC does.
        require(uint256(s) <= 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0, "invalid signature");
        address signer = ecrecover(keccak256(abi.encodePacked(hex"1901", DOMAIN_SEPARATOR(), content)), v, r, s);
        require(signer != address(0) && signer == who, "invalid signature");
    }
}
