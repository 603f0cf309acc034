//! Users and roles of etcd's own: what may be asked about them.
//!
//! Picture to hold in mind: the visitors' book of the archive, kept by the clerks in the same ledger as all else.

use std::sync::Arc;

use crate::api::Text;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthRequest {
    Enable,
    Disable,
    Status,
    UserAdd { name: Text, password: Text, no_password: bool },
    UserDelete { name: Text },
    UserGet { name: Text },
    UserList,
    UserChangePassword { name: Text, password: Text },
    UserGrantRole { name: Text, role: Text },
    UserRevokeRole { name: Text, role: Text },
    RoleAdd { name: Text },
    RoleDelete { name: Text },
    RoleGet { name: Text },
    RoleList,
    RoleGrantPermission { name: Text, permission: Permission },
    RoleRevokePermission { name: Text, key: Text, range_end: Text },
}

impl AuthRequest {
    pub fn is_read(&self) -> bool {
        matches!(
            self,
            AuthRequest::Status
                | AuthRequest::UserGet { .. }
                | AuthRequest::UserList
                | AuthRequest::RoleGet { .. }
                | AuthRequest::RoleList
        )
    }
    /// As etcdctl's command is called.
    pub fn name(&self) -> &'static str {
        match self {
            AuthRequest::Enable => "auth enable",
            AuthRequest::Disable => "auth disable",
            AuthRequest::Status => "auth status",
            AuthRequest::UserAdd { .. } => "user add",
            AuthRequest::UserDelete { .. } => "user delete",
            AuthRequest::UserGet { .. } => "user get",
            AuthRequest::UserList => "user list",
            AuthRequest::UserChangePassword { .. } => "user passwd",
            AuthRequest::UserGrantRole { .. } => "user grant-role",
            AuthRequest::UserRevokeRole { .. } => "user revoke-role",
            AuthRequest::RoleAdd { .. } => "role add",
            AuthRequest::RoleDelete { .. } => "role delete",
            AuthRequest::RoleGet { .. } => "role get",
            AuthRequest::RoleList => "role list",
            AuthRequest::RoleGrantPermission { .. } => "role grant-permission",
            AuthRequest::RoleRevokePermission { .. } => "role revoke-permission",
        }
    }
}

/// Keys that a role may read or write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permission {
    pub may_read: bool,
    pub may_write: bool,
    pub key: Text,
    /// Empty: `key` alone; `"\0"`: everything from `key` on.
    pub range_end: Text,
}

#[derive(Clone, Debug)]
pub enum AuthOutcome {
    Done,
    Status {
        is_enabled: bool,
        revision: u64,
    },
    /// The roles of a user, or names.
    Names(Vec<Text>),
    Permissions(Arc<Vec<Permission>>),
}
