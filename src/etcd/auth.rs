//! Users and roles (etcd's `server/auth/store.go`), as far as they are kept.
//!
//! Picture to hold in mind: the visitors' book. Who is in it with which rights is written down alike by all clerks; the
//! door is not locked here (see `fidelity`).

use std::sync::Arc;

use crate::api::Text;
use crate::message::auth::{AuthOutcome, AuthRequest, Permission};
use crate::message::etcd::Error;
use crate::sorted::{SortedMap, SortedSet};

const ROOT: &str = "root";

#[derive(Clone, Debug)]
pub struct AuthStore {
    /// Counts changes.
    revision: u64,
    users: SortedMap<Text, User>,
    roles: SortedMap<Text, Arc<Vec<Permission>>>,
}

#[derive(Clone, Debug, Default)]
struct User {
    roles: SortedSet<Text>,
}

impl Default for AuthStore {
    fn default() -> AuthStore {
        AuthStore { revision: 1, users: SortedMap::new(), roles: SortedMap::new() }
    }
}

fn error<T>(text: &str) -> Result<T, Error> {
    Err(Error::Other(arcstr::format!("etcdserver: {text}")))
}

impl AuthStore {
    /// # Errors
    /// In etcd's words.
    pub fn read(&self, request: &AuthRequest) -> Result<AuthOutcome, Error> {
        match request {
            AuthRequest::Status => Ok(AuthOutcome::Status { is_enabled: false, revision: self.revision }),
            AuthRequest::UserList => Ok(AuthOutcome::Names(self.users.keys().cloned().collect())),
            AuthRequest::RoleList => Ok(AuthOutcome::Names(self.roles.keys().cloned().collect())),
            AuthRequest::UserGet { name } => match self.users.get(name) {
                Some(user) => Ok(AuthOutcome::Names(user.roles.iter().cloned().collect())),
                None => error("user name not found"),
            },
            AuthRequest::RoleGet { name } => match self.roles.get(name) {
                Some(permissions) => Ok(AuthOutcome::Permissions(permissions.clone())),
                None => error("role name not found"),
            },
            _ => Ok(AuthOutcome::Done),
        }
    }

    /// # Errors
    /// In etcd's words; then nothing has changed.
    pub fn apply(&mut self, request: &AuthRequest) -> Result<AuthOutcome, Error> {
        self.change(request)?;
        self.revision += 1;
        Ok(AuthOutcome::Done)
    }

    fn change(&mut self, request: &AuthRequest) -> Result<(), Error> {
        match request {
            // To switch it on needs a root user with the root role; and then nobody would be let in without a
            // password, the API server neither.
            AuthRequest::Enable => match self.users.get(ROOT) {
                None => return error("root user does not exist"),
                Some(user) if !user.roles.contains(ROOT) => {
                    return error("root user does not have root role");
                }
                Some(_) => {
                    return Err(Error::Other(
                        "etcdserver: authentication is not simulated: users and roles are kept, but nobody is asked for a password".into(),
                    ));
                }
            },
            AuthRequest::Disable => {}
            AuthRequest::UserAdd { name, password, no_password } => {
                if name.is_empty() {
                    return error("user name is empty");
                }
                if password.is_empty() && !no_password {
                    return error("password is empty");
                }
                if self.users.contains_key(name) {
                    return error("user name already exists");
                }
                self.users.insert(name.clone(), User::default());
            }
            AuthRequest::UserDelete { name } => {
                self.users.remove(name).map_or_else(|| error("user name not found"), |_| Ok(()))?;
            }
            AuthRequest::UserChangePassword { name, .. } => {
                self.users.get(name).map_or_else(|| error("user name not found"), |_| Ok(()))?;
            }
            AuthRequest::UserGrantRole { name, role } => {
                let Some(user) = self.users.get_mut(name) else { return error("user name not found") };
                // The root role need not be made.
                if role != ROOT && !self.roles.contains_key(role) {
                    return error("role name not found");
                }
                user.roles.insert(role.clone());
            }
            AuthRequest::UserRevokeRole { name, role } => {
                let Some(user) = self.users.get_mut(name) else { return error("user name not found") };
                if !user.roles.remove(role) {
                    return error("role is not granted to the user");
                }
            }
            AuthRequest::RoleAdd { name } => {
                if name.is_empty() {
                    return error("role name is empty");
                }
                if self.roles.contains_key(name) {
                    return error("role name already exists");
                }
                self.roles.insert(name.clone(), Arc::default());
            }
            AuthRequest::RoleDelete { name } => {
                if self.roles.remove(name).is_none() {
                    return error("role name not found");
                }
                for user in self.users.values_mut() {
                    user.roles.remove(name);
                }
            }
            AuthRequest::RoleGrantPermission { name, permission } => {
                let Some(all) = self.roles.get_mut(name) else { return error("role name not found") };
                let all = Arc::make_mut(all);
                let is_same = |other: &Permission| {
                    other.key == permission.key && other.range_end == permission.range_end
                };
                match all.iter_mut().find(|other| is_same(other)) {
                    Some(other) => *other = permission.clone(),
                    None => {
                        let order = |other: &Permission| other.key <= permission.key;
                        let place = all.partition_point(order);
                        all.insert(place, permission.clone());
                    }
                }
            }
            AuthRequest::RoleRevokePermission { name, key, range_end } => {
                let Some(all) = self.roles.get_mut(name) else { return error("role name not found") };
                let before = all.len();
                Arc::make_mut(all).retain(|other| other.key != *key || other.range_end != *range_end);
                if all.len() == before {
                    return error("permission is not granted to the role");
                }
            }
            _ => {}
        }
        Ok(())
    }
}
